/** The code of upcasters, read from the file of an event type. */
import ts from 'typescript'
import { parseCode, tokensOf } from './source-code.js'

/**
 * For each version of the type that the file declares, the tokens of its upcaster and of all that it uses in that file;
 * null for a version without one. Throws if an upcaster uses something of another file of ours: a change there would not show.
 */
export function upcastersIn(code: string): (string[] | null)[] {
  const file = parseCode(code)
  const versions = find(file, (node) => property(node, 'versions'))
  if (!versions || !ts.isArrayLiteralExpression(versions)) throw new Error('The file has no array named versions.')
  return versions.elements.map((element) => {
    const upcast = find(element, (node) => property(node, 'upcast'))
    return upcast ? withAllUsed(file, upcast) : null
  })
}

function find(node: ts.Node, pick: (node: ts.Node) => ts.Node | undefined): ts.Node | undefined {
  return pick(node) ?? ts.forEachChild(node, (child) => find(child, pick))
}

const property = (node: ts.Node, name: string): ts.Node | undefined =>
  ts.isPropertyAssignment(node) && node.name.getText() === name ? node.initializer : undefined

function withAllUsed(file: ts.SourceFile, start: ts.Node): string[] {
  const parts: ts.Node[] = [start]
  // Grows while it is walked.
  for (const part of parts) {
    for (const name of namesIn(part)) {
      const declared = file.statements.find((statement) => namesDeclaredBy(statement).includes(name))
      if (!declared) continue
      if (!ts.isImportDeclaration(declared)) {
        if (!parts.includes(declared)) parts.push(declared)
      } else if (declared.moduleSpecifier.getText().slice(1).startsWith('.')) {
        throw new Error(
          `An upcaster uses ${name}, which is imported from another file; declare it beside the upcaster.`
        )
      }
    }
  }
  return parts.flatMap(tokensOf)
}

/** The names that a node uses and does not declare itself; the names of properties are none. */
function namesIn(node: ts.Node): string[] {
  const used: string[] = []
  const declared = new Set<string>()
  function walk(node: ts.Node): void {
    ts.forEachChild(node, (child) => {
      if (!ts.isIdentifier(child)) return walk(child)
      if (isDeclaration(node) && child === node.name) declared.add(child.text)
      else if (!isLabel(node, child)) used.push(child.text)
    })
  }
  if (ts.isIdentifier(node)) used.push(node.text)
  walk(node)
  return used.filter((name) => !declared.has(name))
}

const isDeclaration = (node: ts.Node): node is ts.BindingElement | ts.ParameterDeclaration | ts.VariableDeclaration =>
  ts.isBindingElement(node) || ts.isParameter(node) || ts.isVariableDeclaration(node)

/** Whether `child` is the name of a property of `node` and not a value. */
const isLabel = (node: ts.Node, child: ts.Node): boolean =>
  ((ts.isPropertyAssignment(node) || ts.isPropertyAccessExpression(node)) && child === node.name) ||
  (ts.isBindingElement(node) && child === node.propertyName)

function namesDeclaredBy(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => name.getText())
  if (ts.isFunctionDeclaration(statement)) return statement.name ? [statement.name.text] : []
  const bindings = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : undefined
  return bindings && ts.isNamedImports(bindings) ? bindings.elements.map(({ name }) => name.text) : []
}
