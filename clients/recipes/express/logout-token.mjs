// What the provider says from server to server: a session ended there (OpenID Connect Back-Channel Logout 1.0, 2.6).
import { createRemoteJWKSet, jwtVerify } from 'jose'

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const OLDEST = 5 * 60

export function logoutTokens({ issuer, jwks_uri }, clientId) {
  const keys = createRemoteJWKSet(new URL(jwks_uri)) // asks again for a key that it does not know
  const used = new Map()

  // Return `sub` and `sid` of a token that comes for the first time; throw when it is not believed.
  return async function read(token) {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: clientId,
      typ: 'logout+jwt',
      algorithms: ['RS256', 'ES256'],
      requiredClaims: ['iat', 'exp', 'jti', 'events'],
      maxTokenAge: OLDEST,
      clockTolerance: 30,
    })
    const event = payload.events[EVENT]
    if (typeof event !== 'object' || event === null) throw new Error('no logout event')
    if ('nonce' in payload) throw new Error('an ID token is no logout token')
    if (!payload.sub && !payload.sid) throw new Error('nobody is named')
    const now = Date.now()
    for (const [jti, until] of used) if (until < now) used.delete(jti)
    if (used.has(payload.jti)) throw new Error('used before')
    used.set(payload.jti, now + (OLDEST + 60) * 1000)
    return { sub: payload.sub, sid: payload.sid }
  }
}
