/** A picture for each type of event that is built in, and one for all others. */
import {
  type IconNode,
  KeyRound,
  Lock,
  LockOpen,
  LogIn,
  ShieldCheck,
  UserRoundPen,
  UserRoundPlus,
  UserRoundX,
  Zap
} from 'lucide'
import type { Tone } from '../../components/badge.js'

type Sign = { icon: IconNode; tone: Tone }

const SIGNS: ReadonlyMap<string, Sign> = new Map([
  ['UserCreated', { icon: UserRoundPlus, tone: 'good' }],
  ['UserUpdated', { icon: UserRoundPen, tone: 'info' }],
  ['PasswordChanged', { icon: KeyRound, tone: 'info' }],
  ['UserDeleted', { icon: UserRoundX, tone: 'bad' }],
  ['LoginInfoUpdated', { icon: LogIn, tone: 'neutral' }],
  ['AccountLocked', { icon: Lock, tone: 'warn' }],
  ['AccountUnlocked', { icon: LockOpen, tone: 'good' }],
  ['RolesAssigned', { icon: ShieldCheck, tone: 'info' }]
])
const OTHER: Sign = { icon: Zap, tone: 'neutral' }

export const signOf = (eventType: string): Sign => SIGNS.get(eventType) ?? OTHER
