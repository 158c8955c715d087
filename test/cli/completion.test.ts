/** The shell completes what was typed. */
import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { MAIN, runIn } from '../support/cli.js'

const complete = async (...words: string[]): Promise<string[]> => {
  const { code, out } = await runIn({}, 'complete', '--', ...words)
  t.equal(code, 0)
  return out.trim().split('\n')
}

t.test('commands, those of a group, and options are completed', async (t) => {
  t.match(await complete(''), ['serve', 'migrate', 'doctor', 'replay'])
  t.notMatch(await complete(''), /complete$/, 'but not what is for the shell')
  t.strictSame(await complete('sn'), ['snapshots'])
  t.strictSame(await complete('snapshots', ''), ['list', 'create', 'cleanup', 'help'])
  t.strictSame(await complete('outbox', 're'), ['retry'])
  t.strictSame(await complete('snapshots', 'cleanup', '--r'), ['--retain'])
  t.match((await complete('replay', '--')).sort(), [
    '--at',
    '--explain',
    '--help',
    '--json',
    '--key',
    '--no-snapshot',
    '--tenant',
    '--url',
    '--version'
  ])
  t.strictSame(await complete('replay', 'x'), [''])
})

/** What a real shell does with the script that it is given: `typed` is told in its own words. */
async function inShell(t: Test, shell: string, args: string[], typed: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'user-events-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const command = join(folder, 'user-events')
  await writeFile(command, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`)
  await chmod(command, 0o755)
  const env = { PATH: `${folder}:${process.env.PATH}`, HOME: folder }
  const { stdout } = await promisify(execFile)(shell, [...args, typed], { env, cwd: folder })
  return stdout.trim().split('\n')
}

t.test('bash does so with the script that is printed', async (t) => {
  const [partition, all] = await inShell(
    t,
    'bash',
    ['-euc'],
    `source <(user-events completion bash)
    COMP_WORDS=(user-events archive "de"); COMP_CWORD=2; _user_events; echo "\${COMPREPLY[@]}"
    COMP_WORDS=(user-events ""); COMP_CWORD=1; _user_events; echo "\${COMPREPLY[@]}"`
  )
  t.equal(partition, 'detach')
  t.match(all, /^serve migrate doctor .* completion help$/)
})

t.test('zsh as well, and files where no command follows', async (t) => {
  // What its completion system does with the words needs a terminal.
  const found = await inShell(
    t,
    'zsh',
    ['-fc'],
    `compdef() { : }; compadd() { shift; print -r -- \${(P)1} }; _files() { print files }
    source <(user-events completion zsh)
    words=(user-events archive de); CURRENT=3; _user_events
    words=(user-events ""); CURRENT=2; _user_events
    words=(user-events replay x); CURRENT=3; _user_events`
  )
  t.match(found, ['detach', /^serve migrate doctor .* completion help$/, 'files'])
  t.equal(found.length, 3)
})

t.test('and fish', async (t) => {
  const found = await inShell(
    t,
    'fish',
    ['--no-config', '-c'],
    `user-events completion fish | source
    complete -C "user-events archive de"; echo then; complete -C "user-events replay --ex"; echo then; complete -C "user-events sn"`
  )
  t.match(found.join(' '), /^detach then --explain then snapshots$/)
})

t.test('there is a script for each shell, and no other', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish'])
    t.match(await runIn({}, 'completion', shell), { code: 0, out: /user-events complete -- / })
  t.match(await runIn({}, 'completion', 'sh'), { code: 2, err: /Expected one of bash, zsh, fish/ })
})
