import Type from 'typebox'

/** One kind of object that can be created, as the lists of kinds show it. */
export const TypeCreate = Type.Object({
  name: Type.String(),
  description: Type.String(),
  component: Type.String(),
  model_name: Type.String(),
  icon_url: Type.Optional(Type.String()),
  requires_enterprise: Type.Boolean(),
  deprecated: Type.Boolean(),
})
