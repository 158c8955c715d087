/** Source code as its tokens: comments and white space do not count, all else does. */
import { createHash } from 'node:crypto'
import ts from 'typescript'

export const parseCode = (code: string): ts.SourceFile =>
  ts.createSourceFile('code.ts', code, ts.ScriptTarget.Latest, true)

/** The tokens of a node: neither comments nor white space. */
export function tokensOf(node: ts.Node): string[] {
  if (ts.isJSDoc(node)) return []
  const children = node.getChildren()
  return children.length > 0 ? children.flatMap(tokensOf) : [node.getText()]
}

/** 16 hex digits that name these texts, in this order. */
export const hashOf = (texts: readonly string[]): string =>
  createHash('sha256').update(texts.join('\n')).digest('hex').slice(0, 16)

/** Name of the file in src/domain that holds an event type. */
export const fileOfType = (name: string): string => `event-types/${name.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()}.ts`
