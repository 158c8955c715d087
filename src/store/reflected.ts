/** Which events the tables of the projection of users hold, for statements that read them: both are of one moment. */

/** `position`: all events up to there are in the answer; with several buckets their number. Null when the tables were never filled. */
export type Reflected = { position: number | null }

/** Position of the tables that serve: of the bucket that a parameter names, or of all. */
export const reflectedIn = (bucket: string | null): string => `
  (SELECT CASE WHEN p.version > 0 THEN
     (SELECT coalesce(sum(w.position), 0) FROM workers w
      WHERE w.name = 'projection/users'${bucket === null ? '' : ` AND w.bucket = ${bucket}::smallint`}) END
   FROM projections p WHERE p.bucket = 0 AND p.name = 'users')`

export const REFLECTED = reflectedIn(null)

export const positionOf = ({ position }: { position: string | null }): number | null =>
  position === null ? null : Number(position)
