/** Has a process (`node --require`) say at its end which packages of OpenTelemetry it loaded, in a line of its error output. */
process.on('exit', () => {
  const files = Object.keys(require.cache)
  const packages = files.flatMap((file) => /node_modules\/(@opentelemetry\/[^/]+)\//.exec(file)?.[1] ?? [])
  process.stderr.write(`loaded: ${JSON.stringify([...new Set(packages)].sort())}\n`)
})
