// The one error of the embedded PostgreSQL. Its message is a whole sentence for the person who starts the service: what was found,
// what was expected, what to do. Its code is for programs and never changes.

export type EmbeddedPostgresErrorCode =
  | 'PROGRAMS_MISSING'
  | 'PROGRAMS_UNUSABLE'
  | 'ACCOUNT_UNUSABLE'
  | 'FOLDER_UNUSABLE'
  | 'FOLDER_IN_USE'
  | 'FOLDER_NOT_A_DATABASE'
  | 'FOLDER_OF_OTHER_VERSION'
  | 'PASSWORD_MISSING'
  | 'PORT_UNUSABLE'
  | 'INITIALISE_FAILED'
  | 'START_FAILED'
  | 'SERVER_SILENT'
  | 'STOP_FAILED'

/** Why the embedded PostgreSQL did not start or stop; `cause` is the system's or the driver's own error, where there is one. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode

  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options)
    this.name = 'EmbeddedPostgresError'
    this.code = code
  }
}
