/** Process entry. */
import { ConfigError } from './config.js'
import { EmbeddedPostgresError } from './db/embedded/start.js'
import { MigrationError } from './db/migrate.js'
import { serve } from './serve.js'
import { StartError } from './start-error.js'

/** Errors whose message says all that the operator needs; others are shown with their stack. */
const EXPLAINED = [ConfigError, EmbeddedPostgresError, MigrationError, StartError]

try {
  await serve(process.env)
} catch (err) {
  const explained = EXPLAINED.some((kind) => err instanceof kind)
  console.error(explained ? (err as Error).message : err)
  process.exitCode = 1
}
