// Every permission there is, for `/rbac/permissions/` and for whoever grants one. A codename is `<app>.<action>_<model>` or a verb
// of its own.

export interface PermissionEntry {
  /** stable within a release: place in the list */
  id: number
  app: string
  model: string
  codename: string
  /** a sentence for people */
  name: string
}

/** app, model, what people call it, permissions besides view, add, change and delete */
const models: [app: string, model: string, label: string, special?: Record<string, string>][] = [
  [
    'authentik_core',
    'user',
    'User',
    { reset_user_password: 'Reset the password of a user', set_token_user: 'Choose the owner of a token' },
  ],
  [
    'authentik_core',
    'group',
    'Group',
    {
      add_user_to_group: 'Add users to a group',
      remove_user_from_group: 'Remove users from a group',
      disable_group_superuser: 'Take superuser status from a group',
    },
  ],
  [
    'authentik_core',
    'token',
    'Token',
    { view_token_key: 'View the key of a token', set_token_key: 'Set the key of a token' },
  ],
  ['authentik_core', 'application', 'Application'],
  ['authentik_core', 'brand', 'Brand'],
  ['authentik_core', 'authenticatedsession', 'Session'],
  ['authentik_core', 'userconsent', 'User consent'],
  ['authentik_rbac', 'role', 'Role', { assign_role_permissions: 'Grant and take permissions of a role' }],
  [
    'authentik_rbac',
    'systempermission',
    'System',
    {
      access_admin_interface: 'Open the admin interface',
      view_system_info: 'View information about the system',
      view_media_files: 'View media files',
      manage_media_files: 'Upload and delete media files',
    },
  ],
  [
    'authentik_crypto',
    'certificatekeypair',
    'Certificate key pair',
    {
      view_certificatekeypair_certificate: 'View the certificate of a key pair',
      view_certificatekeypair_key: 'View the private key of a key pair',
    },
  ],
  ['authentik_events', 'event', 'Event'],
  ['authentik_flows', 'flow', 'Flow'],
  ['authentik_flows', 'flowstagebinding', 'Binding of a stage to a flow'],
  ['authentik_flows', 'stage', 'Stage'],
  ['authentik_policies', 'policybinding', 'Policy binding'],
  ['authentik_providers_oauth2', 'oauth2provider', 'OAuth2 provider'],
  ['authentik_providers_oauth2', 'scopemapping', 'Scope mapping'],
  ['authentik_providers_proxy', 'proxyprovider', 'Proxy provider'],
  ['authentik_outposts', 'outpost', 'Outpost'],
  ['authentik_outposts', 'outpostserviceconnection', 'Service connection'],
  ['authentik_outposts', 'dockerserviceconnection', 'Docker connection'],
  ['authentik_outposts', 'kubernetesserviceconnection', 'Kubernetes connection'],
  ['authentik_tasks', 'task', 'Task', { retry_task: 'Run a task again', cancel_task: 'Cancel a task' }],
  ['authentik_tasks_schedules', 'schedule', 'Schedule', { send_schedule: 'Run a schedule now' }],
]

/** All permissions, in a fixed order. */
export const permissions: readonly PermissionEntry[] = models
  .flatMap(([app, model, label, special = {}]) => [
    ...(model === 'systempermission'
      ? []
      : ['view', 'add', 'change', 'delete'].map(action => ({
          app,
          model,
          codename: `${action}_${model}`,
          name: `Can ${action} ${label}`,
        }))),
    ...Object.entries(special).map(([codename, name]) => ({ app, model, codename, name })),
  ])
  .map((entry, index) => ({ id: index + 1, ...entry }))

const names = new Set(permissions.map(entry => `${entry.app}.${entry.codename}`))

/** @param permission `<app>.<codename>` */
export function isPermission(permission: string): boolean {
  return names.has(permission)
}

/** What people call an app, e.g. `authentik_core` → `Core`. */
export function appLabel(app: string): string {
  const words = app.replace(/^authentik_/, '').split('_')
  return words.map(word => word.slice(0, 1).toUpperCase() + word.slice(1)).join(' ')
}

/** What people call a model. */
export function modelLabel(app: string, model: string): string {
  return models.find(entry => entry[0] === app && entry[1] === model)?.[2] ?? model
}
