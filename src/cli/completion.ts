/**
 * `user-events completion <shell>`: a script for the shell that asks `user-events complete …` for what can follow what was typed, so it
 * knows every command without being told.
 */
import { type Command, InvalidArgumentError } from 'commander'
import type { Cli } from './cli.js'

/** Each passes on the words so far, the last of which is being typed. */
const SCRIPTS = {
  bash: `_user_events() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(user-events complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _user_events user-events
`,
  zsh: `#compdef user-events
_user_events() {
  local -a found
  found=("\${(@f)$(user-events complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _user_events user-events
`,
  fish: `complete -c user-events -a '(user-events complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`
}

type Shell = keyof typeof SCRIPTS
const SHELLS = Object.keys(SCRIPTS) as Shell[]

export function addCompletion(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description('print what makes the shell complete commands: source <(user-events completion bash)')
    .argument('<shell>', SHELLS.join(', '), shellOf)
    .action(cli.printing(({ args: [shell] }) => SCRIPTS[shell as Shell].trimEnd()))
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(
      cli.printing(({ args: [words] }) => completionsOf(program, (words ?? []) as unknown as string[]).join('\n'))
    )
}

/** What can follow: of the command that the words name, its commands and options that begin like the last of them. */
export function completionsOf(program: Command, words: readonly string[]): string[] {
  const typed = words.at(-1) ?? ''
  let command = program
  for (const word of words.slice(0, -1)) command = command.commands.find((each) => each.name() === word) ?? command
  const help = command.createHelp()
  const names = command.commands.length > 0 ? help.visibleCommands(command).map((each) => each.name()) : []
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].map(({ long }) => long ?? '')
  return (typed.startsWith('-') ? options : names).filter((name) => name.startsWith(typed))
}

function shellOf(text: string): Shell {
  if ((SHELLS as string[]).includes(text)) return text as Shell
  throw new InvalidArgumentError(`Expected one of ${SHELLS.join(', ')}.`)
}
