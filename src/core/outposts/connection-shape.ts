// How service connections look in the API, alone and inside an outpost.
import type { Static } from 'typebox'
import Type from 'typebox'
import { Uuid } from '../api/shapes.ts'

export const connectionFields = {
  pk: Uuid,
  name: Type.String(),
  local: Type.Boolean(),
  component: Type.String(),
  verbose_name: Type.String(),
  verbose_name_plural: Type.String(),
  meta_model_name: Type.String(),
}
export const ConnectionBody = Type.Object(connectionFields)
export type ConnectionBody = Static<typeof ConnectionBody>

export type ConnectionType = 'docker' | 'kubernetes'

const kinds = {
  docker: {
    component: 'ak-service-connection-docker-form',
    verbose_name: 'Docker Service-Connection',
    verbose_name_plural: 'Docker Service-Connections',
    meta_model_name: 'authentik_outposts.dockerserviceconnection',
  },
  kubernetes: {
    component: 'ak-service-connection-kubernetes-form',
    verbose_name: 'Kubernetes Service-Connection',
    verbose_name_plural: 'Kubernetes Service-Connections',
    meta_model_name: 'authentik_outposts.kubernetesserviceconnection',
  },
} as const

export function connectionBody(row: {
  id: string
  name: string
  local: boolean
  type: ConnectionType
}): ConnectionBody {
  return { pk: row.id, name: row.name, local: row.local, ...kinds[row.type] }
}

/** The kinds one can create. */
export const connectionTypes = [
  {
    name: 'Docker',
    description: 'A Docker engine that runs outposts as containers.',
    component: kinds.docker.component,
    model_name: 'dockerserviceconnection',
    icon_url: '',
    requires_enterprise: false,
    deprecated: false,
  },
  {
    name: 'Kubernetes',
    description: 'A Kubernetes cluster that runs outposts as deployments.',
    component: kinds.kubernetes.component,
    model_name: 'kubernetesserviceconnection',
    icon_url: '',
    requires_enterprise: false,
    deprecated: false,
  },
]
