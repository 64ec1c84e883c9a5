/** User name of the first administrator. */
export const administrator = 'akadmin'
