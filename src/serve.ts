/** Runs the service: settings, database, signals. */
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import { compose, type Service } from './compose.js'
import { type Config, loadConfig } from './config.js'
import { startEmbeddedPostgres } from './db/embedded/start.js'
import { logOptions } from './observe/log.js'

/** Resolves when it serves. From then on SIGTERM and Ctrl-C end the process in order. */
export async function serve(env: Record<string, string | undefined>): Promise<void> {
  const config = loadConfig(env)
  const logger = pino({ level: config.LOG_LEVEL, ...logOptions })
  const database = config.DATABASE_URL === undefined ? await startEmbeddedPostgres({ dataDir: config.DATA_DIR }) : null
  try {
    const service = await compose(config, config.DATABASE_URL ?? database!.url, logger)
    const addresses = await listen(service, config)
    service.start()
    if (service.authentication() === 'open')
      logger.warn(
        'nobody has to say who they are, so only this machine is served: make an API key (user-events key create) to change that'
      )
    const place = database ? `embedded in ${config.DATA_DIR}` : 'DATABASE_URL'
    logger.info({ ...addresses, database: place, instance: service.instance }, 'ready')

    closeWithGrace({ delay: config.SHUTDOWN_TIMEOUT_MS, logger }, async ({ signal, err }) => {
      if (err) logger.error({ err }, 'shutting down after an error')
      else logger.info({ signal }, 'shutting down')
      await service.stop()
      await database?.stop()
      logger.info('stopped')
    })
  } catch (err) {
    await database?.stop()
    throw err
  }
}

/** The service listens, or is stopped and an error is thrown. The result is for the log. */
async function listen(
  service: Service,
  config: Config
): Promise<{ address: string; docs?: string; ui?: string; metrics: string }> {
  const { app, metricsApp } = service
  const { HOST, PORT, METRICS_HOST, METRICS_PORT, DOCS, UI } = config
  try {
    const elsewhere = await metricsApp?.listen({ host: METRICS_HOST ?? HOST, port: METRICS_PORT! })
    const address = await app.listen({ host: HOST, port: PORT })
    return {
      address,
      ...(DOCS ? { docs: `${address}/docs` } : {}),
      ...(UI ? { ui: `${address}/ui` } : {}),
      metrics: `${elsewhere ?? address}/metrics`
    }
  } catch (err) {
    await service.stop()
    throw err
  }
}
