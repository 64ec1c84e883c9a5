// What `/crypto/certificatekeypairs/` has besides the seven verbs: making a pair, and giving out its two halves, each with a
// permission of its own and an event.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import Type from 'typebox'
import { principalOf } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { createSelfSigned } from '../crypto/self-signed.ts'
import { notFound } from '../errors.ts'
import { audit } from './audit.ts'
import type { CertificateRow } from './certificates.sql.ts'
import { certificateMaterial, certificateTable } from './certificates.sql.ts'
import { base, CertificateBody, certificateResource, insertPair } from './certificates.ts'
import { reloadRow } from './resource.sql.ts'
import { findFor, modelOf, write } from './resource-write.ts'
import { errorResponses, onlyQuery, Uuid } from './shapes.ts'
import { visibleRow } from './visible.sql.ts'

/** `generate`, `view_certificate` and `view_private_key`. */
export function registerCertificateActionRoutes(app: CoreApp, core: Core): void {
  registerGenerate(app, core)
  registerMaterial(app, core, 'certificate')
  registerMaterial(app, core, 'private_key')
}

function registerGenerate(app: CoreApp, core: Core): void {
  app.post(
    `${base}generate/`,
    {
      config: { access: { permission: 'authentik_crypto.add_certificatekeypair' } },
      schema: {
        operationId: 'crypto_certificatekeypairs_generate_create',
        tags: ['crypto'],
        body: Type.Object({
          common_name: Type.String({ minLength: 1, maxLength: 64 }),
          subject_alt_name: Type.Optional(Type.String({ maxLength: 10_000 })),
          validity_days: Type.Integer({ minimum: 1, maximum: 36_500 }),
          alg: Type.Optional(Type.Enum(['rsa', 'ecdsa'])),
        }),
        response: { 200: CertificateBody, ...errorResponses },
      },
    },
    async request => {
      const { common_name: commonName, subject_alt_name: names = '', validity_days: days, alg } = request.body
      const pair = await createSelfSigned({
        commonName,
        alternativeNames: names.split(','),
        days,
        algorithm: alg ?? 'rsa',
      })
      return write(
        core,
        request,
        async context => {
          const id = await insertPair(context, {
            name: commonName,
            certificate_data: pair.certificatePem,
            key_data: pair.privateKeyPem,
          })
          const row = await reloadRow<CertificateRow>(context.tx, certificateTable(context.tx), id)
          await audit(context, 'model_created', modelOf(certificateResource, row))
          return certificateResource.toBody(row, { core, request }) as Static<typeof CertificateBody>
        },
        { certificate_keypairs_name_key: 'common_name' },
      )
    },
  )
}

const materials = {
  certificate: { permission: 'authentik_crypto.view_certificatekeypair_certificate', file: 'certificate' },
  private_key: { permission: 'authentik_crypto.view_certificatekeypair_key', file: 'private_key' },
} as const

function registerMaterial(app: CoreApp, core: Core, kind: keyof typeof materials): void {
  const { permission, file } = materials[kind]
  app.get(
    `${base}:kp_uuid/view_${kind}/`,
    {
      config: { access: { object: permission } },
      schema: {
        operationId: `crypto_certificatekeypairs_view_${kind}_retrieve`,
        tags: ['crypto'],
        params: Type.Object({ kp_uuid: Uuid }),
        querystring: onlyQuery({ download: Type.Optional(Type.Boolean()) }),
      },
    },
    async (request: FastifyRequest, reply: FastifyReply) => {
      const { pem, name } = await write(core, request, async context => {
        const { tx } = context
        const allowed = visibleRow(tx, principalOf(request), permission)
        const row = await findFor(certificateResource, tx, request, allowed, false)
        const stored = await certificateMaterial(tx, row.id)
        if (kind === 'private_key' && stored.private_key_sealed === null) throw notFound()
        await audit(context, 'secret_view', modelOf(certificateResource, row), { material: kind })
        return {
          name: row.name,
          pem:
            kind === 'certificate'
              ? stored.certificate_pem
              : core.secrets.open('private_key', stored.private_key_sealed!),
        }
      })
      if ((request.query as { download?: boolean }).download !== true) return { data: pem }
      return reply
        .type('application/x-pem-file')
        .header('Content-Disposition', `attachment; filename="${fileName(name)}_${file}.pem"`)
        .send(pem)
    },
  )
}

function fileName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]+/g, '_').slice(0, 100)
}
