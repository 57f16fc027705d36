// Masks as packed bits, as numpy's packbits makes them: the first voxel in the highest bit.

export function unpack(bytes, count) {
  const values = new Uint8Array(count);
  for (let i = 0; i < count; i++) values[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return values;
}

export function toBase64(values) {
  const bytes = new Uint8Array(Math.ceil(values.length / 8));
  for (let i = 0; i < values.length; i++) if (values[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

export function fromBase64(text, count) {
  return unpack(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)), count);
}
