// Checks of logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.6).
import { createRemoteJWKSet, jwtVerify } from 'jose'

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const OLDEST = 5 * 60

export function logoutTokens({ issuer, jwks_uri }, clientId) {
  const keys = createRemoteJWKSet(new URL(jwks_uri)) // requests the keys again for an unknown `kid`
  const used = new Map()

  // Return `sub` and `sid` of the token. Throw if it is invalid or a replay.
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
    if ('nonce' in payload) throw new Error('the token has a nonce, as an ID token has')
    if (!payload.sub && !payload.sid) throw new Error('the token has neither sub nor sid')
    const now = Date.now()
    for (const [jti, until] of used) if (until < now) used.delete(jti)
    if (used.has(payload.jti)) throw new Error('the token was used before')
    used.set(payload.jti, now + (OLDEST + 60) * 1000)
    return { sub: payload.sub, sid: payload.sid }
  }
}
