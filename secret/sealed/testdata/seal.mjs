// Seals a login with WebCrypto alone, as a browser would: node seal.mjs < vectors.json > webcrypto.json
// It writes each vector anew with a text of its own. Node 20 or later; nothing is installed.
const { subtle } = globalThis.crypto;
const utf8 = (s) => new TextEncoder().encode(s);
const join = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => (out.set(p, at), at + p.length), 0);
  return out;
};
const u16 = (n) => Uint8Array.of(n >> 8, n & 255);
const u32 = (n) => Uint8Array.of(n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255);
const base64url = (b) => btoa(String.fromCharCode(...b)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const fromBase64url = (s) => Uint8Array.from(atob(s.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const hex = (b) => [...b].map((x) => x.toString(16).padStart(2, "0")).join("");

async function hmac(key, data) {
  const k = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", k, data));
}

// RFC 9180, section 4: LabeledExtract and LabeledExpand; at most 32 bytes are asked for, so one round is enough.
const extract = (suite, salt, label, ikm) => hmac(salt.length ? salt : new Uint8Array(32), join(utf8("HPKE-v1"), suite, utf8(label), ikm));
const expand = async (suite, prk, label, info, length) =>
  (await hmac(prk, join(u16(length), utf8("HPKE-v1"), suite, utf8(label), info, Uint8Array.of(1)))).slice(0, length);

async function hpkeSeal(point, info, plaintext) {
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const recipient = await subtle.importKey("raw", point, curve, false, []);
  const ephemeral = await subtle.generateKey(curve, false, ["deriveBits"]);
  const enc = new Uint8Array(await subtle.exportKey("raw", ephemeral.publicKey));
  const dh = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: recipient }, ephemeral.privateKey, 256));
  const kem = join(utf8("KEM"), u16(0x0010));
  const eae = await extract(kem, new Uint8Array(), "eae_prk", dh);
  const shared = await expand(kem, eae, "shared_secret", join(enc, point), 32);

  const suite = join(utf8("HPKE"), u16(0x0010), u16(0x0001), u16(0x0002));
  const none = new Uint8Array();
  const context = join(Uint8Array.of(0), await extract(suite, none, "psk_id_hash", none), await extract(suite, none, "info_hash", info));
  const secret = await extract(suite, shared, "secret", none);
  const key = await subtle.importKey("raw", await expand(suite, secret, "key", context, 32), "AES-GCM", false, ["encrypt"]);
  const iv = await expand(suite, secret, "base_nonce", context, 12);
  return join(enc, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, key, plaintext)));
}

// Hosts are ASCII, so that JavaScript sorts them as Go does.
export async function seal(publicKey, organization, registry, type, hosts, username, password) {
  const point = fromBase64url(publicKey);
  const field = (s) => join(u32(utf8(s).length), utf8(s));
  const sorted = [...new Set(hosts)].sort();
  const info = join(...["pierhead/sealed/v1", organization, registry, type].map(field), u32(sorted.length), ...sorted.map(field));
  const login = utf8(JSON.stringify({ username, password }));
  const plaintext = join(login, new Uint8Array((256 - (login.length % 256)) % 256).fill(32));
  const keyID = hex(new Uint8Array(await subtle.digest("SHA-256", point))).slice(0, 16);
  const text = `sealed:v1:${keyID}:${base64url(await hpkeSeal(point, info, plaintext))}`;
  return { text, info: hex(info), plaintext: new TextDecoder().decode(plaintext) };
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const vectors = [];
for (const v of JSON.parse(input)) {
  const made = await seal(v.public_key, v.organization_id, v.registry_id, v.type, v.hosts, v.username, v.password);
  vectors.push({ ...v, ...made, what: `${v.what}, sealed by WebCrypto` });
}
console.log(JSON.stringify(vectors, null, 2));
