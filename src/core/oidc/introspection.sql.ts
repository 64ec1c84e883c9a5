import type { Queryable } from '../../pg/db.ts'
import { sql } from '../../pg/db.ts'

export interface IntrospectionRow {
  client_type: 'confidential' | 'public'
  client_secret_sealed: Buffer
  /** null when there is no live token the caller may see */
  kind: 'access' | 'refresh' | null
  /** of an access token */
  claims_sealed: Buffer | null
  scopes: string[]
  token_client_id: string
  expires_at: Date
  created_at: Date
}

/**
 * The calling client together with the live token it asks about, in one statement. A token is seen by its own provider and by clients
 * that this provider lists as federated; its user must be active.
 */
export async function findIntrospection(
  db: Queryable,
  clientId: string,
  tokenHash: Buffer,
): Promise<IntrospectionRow | undefined> {
  return db.first<IntrospectionRow>(sql`
    select c.client_type, c.client_secret_sealed, found.kind, found.claims_sealed, found.scopes, found.expires_at, found.created_at,
      found.client_id as token_client_id
    from ${db.t('oauth2_providers')} c
    left join lateral (
      select t.kind, t.claims_sealed, t.scopes, t.expires_at, t.created_at, o.client_id
      from (
        select 'access' as kind, a.claims_sealed, a.scopes, a.expires_at, a.created_at, a.provider_id, a.user_id
        from ${db.t('oauth_access_tokens')} a
        where a.token_hash = ${tokenHash} and a.revoked_at is null and a.expires_at > now()
        union all
        select 'refresh', null, r.scopes, r.expires_at, r.created_at, r.provider_id, r.user_id
        from ${db.t('oauth_refresh_tokens')} r
        where r.token_hash = ${tokenHash} and r.revoked_at is null and r.expires_at > now()
      ) t
      join ${db.t('users')} u on u.id = t.user_id and u.is_active
      join ${db.t('oauth2_providers')} o on o.provider_id = t.provider_id
      where t.provider_id = c.provider_id or exists (
        select from ${db.t('jwt_federation_providers')} f
        where f.provider_id = t.provider_id and f.federated_id = c.provider_id and t.kind = 'access'
      )
    ) found on true
    where c.client_id = ${clientId}`)
}
