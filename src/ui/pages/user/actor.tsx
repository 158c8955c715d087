/** Who did something: a link when it is a user. */
import { isUserId, userPath } from '../user-id.js'

export const Actor = ({ of: actor }: { of: string }) =>
  isUserId(actor) ? (
    <a class="mono" href={userPath(actor.toLowerCase())}>
      {actor}
    </a>
  ) : (
    <span class={actor.includes(':') ? 'mono' : 'strong'}>{actor}</span>
  )
