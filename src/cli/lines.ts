/** Answers that come as lines, one at a time and never held whole. */
import { UnavailableError } from './exit-codes.js'

/** The lines of an answer, without their ends. Throws UnavailableError if it is cut off. */
export async function* linesOf(answer: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of answer.body ?? []) {
      const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch (err) {
    throw new UnavailableError(`The answer was cut off (${(err as Error).message}): what came is not all. Ask again.`)
  }
  if (rest !== '') yield rest
}
