// A case in the page: its arrays, and the queue of actions that the server stores one after another.

import { fromBase64, toBase64, unpack } from "./bits.js";
import { boxOfChanges, planeGrid, planeOfAxis, readPlane } from "./planes.js";
import { get, getBytes, post, Refusal } from "./server.js";

export const LOADED_AGAIN = "The last change was not saved, because the case was loaded again; repeat it.";

export class Case {
  constructor(number, tab) {
    this.path = `/api/case/${number}`;
    this.tab = tab;
    this.queue = Promise.resolve();
    this.waiting = 0;
    this.listeners = [];
    this.viewed = new Set();
    this.generation = 0;
  }

  async load() {
    Object.assign(this, await get(this.path));
    const image = getBytes(`${this.path}/image`);
    this.masks = await Promise.all(this.structures.map((_, i) => this.fetchMask(i, "current")));
    this.image = new Int16Array((await image).bytes.buffer);
    this.versions = this.structures.map(() => 0);
    this.references = this.structures.map(() => null);
    this.automatic = this.structures.map(() => null);
    return this;
  }

  async fetchMask(structure, which) {
    const { bytes, box } = await getBytes(`${this.path}/mask/${structure}?which=${which}`);
    const [z0, y0, x0, dz, dy, dx] = box;
    const mask = new Uint8Array(this.shape[0] * this.shape[1] * this.shape[2]);
    const inside = unpack(bytes, dz * dy * dx);
    for (let z = 0, i = 0; z < dz; z++) {
      for (let y = 0; y < dy; y++, i += dx) {
        mask.set(inside.subarray(i, i + dx), ((z0 + z) * this.shape[1] + y0 + y) * this.shape[2] + x0);
      }
    }
    return mask;
  }

  async showReferences() {
    await Promise.all(this.structures.map(async (structure, i) => {
      if (structure.has_reference && !this.references[i]) this.references[i] = await this.fetchMask(i, "reference");
    }));
  }

  async showAutomatic() {
    await Promise.all(this.structures.map(async (_, i) => {
      if (!this.automatic[i]) this.automatic[i] = await this.fetchMask(i, "automatic");
    }));
  }

  async loadDose() {
    if (this.dose_shape && !this.dose) this.dose = new Float32Array((await getBytes(`${this.path}/dose`)).bytes.buffer);
  }

  // Replace everything by what the server has. Actions that were made meanwhile are dropped: they were drawn on
  // another state.
  reload() {
    const work = async () => {
      this.state = await get(`${this.path}/state`);
      this.masks = await Promise.all(this.structures.map((_, i) => this.fetchMask(i, "current")));
      this.versions = this.versions.map((version) => version + 1);
      this.generation++;
      this.changed();
    };
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  changed(structure) {
    for (const listener of this.listeners) listener(structure);
  }

  // Change a plane at once and store the change; the server has it on disk when the promise is kept.
  commit(structure, plane, index, after, tool) {
    const grid = planeGrid(this.shape, plane, index);
    const before = readPlane(this.masks[structure], grid);
    const box = boxOfChanges(before, after, grid.rows, grid.columns);
    if (!box) return Promise.resolve();
    const bits = new Uint8Array(box.height * box.width);
    for (let row = 0, i = 0; row < box.height; row++) {
      for (let column = 0; column < box.width; column++, i++) {
        const at = (box.row + row) * grid.columns + box.column + column;
        bits[i] = before[at] ^ after[at];
      }
    }
    this.writePlane(structure, plane, index, after);
    this.changed(structure);
    const patch = { axis: plane.axis, index, ...box, bits: toBase64(bits) };
    return this.act("edit", { structure: this.structures[structure].id, tool, patches: [patch] }, true);
  }

  writePlane(structure, plane, index, values) {
    const grid = planeGrid(this.shape, plane, index);
    const mask = this.masks[structure];
    for (let row = 0, i = 0; row < grid.rows; row++) {
      let at = grid.start + row * grid.rowStride;
      for (let column = 0; column < grid.columns; column++, i++, at += grid.columnStride) mask[at] = values[i];
    }
    this.versions[structure]++;
  }

  plane(structure, plane, index) {
    return readPlane(this.masks[structure], planeGrid(this.shape, plane, index));
  }

  applyPatches(id, patches) {
    const structure = this.structures.findIndex((other) => other.id === id);
    const mask = this.masks[structure];
    for (const patch of patches) {
      const grid = planeGrid(this.shape, planeOfAxis(patch.axis), patch.index);
      const bits = fromBase64(patch.bits, patch.height * patch.width);
      for (let row = 0, i = 0; row < patch.height; row++) {
        let at = grid.start + (patch.row + row) * grid.rowStride + patch.column * grid.columnStride;
        for (let column = 0; column < patch.width; column++, i++, at += grid.columnStride) mask[at] ^= bits[i];
      }
    }
    this.versions[structure]++;
    return structure;
  }

  // Actions are stored in the order in which they were made.
  act(name, body, needsRevision) {
    this.waiting++;
    this.changed();
    const { generation } = this;
    const work = async () => {
      try {
        if (generation !== this.generation) {
          throw new Refusal(LOADED_AGAIN);
        }
        const revision = needsRevision ? { revision: this.state.revision } : {};
        const answer = await post(`${this.path}/${name}`, { tab: this.tab, ...revision, ...body });
        this.state = answer.state;
        if (answer.patches) {
          answer.changed = this.applyPatches(answer.structure, answer.patches);
          this.changed(answer.changed);
        }
        return answer;
      } catch (error) {
        error.harmless &&= name !== "edit";
        if (!error.harmless) this.generation++; // what was made since was drawn on a state that the server hasn't
        throw error;
      } finally {
        this.waiting--;
        this.changed();
      }
    };
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  look(index) {
    this.viewed.add(index);
  }

  reportViews(structure) {
    if (!this.viewed.size) return Promise.resolve();
    const slices = [...this.viewed];
    this.viewed.clear();
    return this.act("view", { structure: this.structures[structure].id, slices });
  }
}
