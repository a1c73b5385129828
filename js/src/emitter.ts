type Listener<T> = (payload: T) => void;

/**
 * Named, typed events. A listener that throws is reported as an uncaught error of its own
 * and disturbs neither the other listeners nor the connection.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, { call: Listener<never>; once: boolean }[]>();

  on<K extends keyof Events>(name: K, listener: Listener<Events[K]>): this {
    return this.#add(name, listener, false);
  }

  once<K extends keyof Events>(name: K, listener: Listener<Events[K]>): this {
    return this.#add(name, listener, true);
  }

  off<K extends keyof Events>(name: K, listener: Listener<Events[K]>): this {
    const kept = this.#listeners.get(name)?.filter((entry) => entry.call !== listener);
    if (kept) this.#listeners.set(name, kept);
    return this;
  }

  addListener<K extends keyof Events>(name: K, listener: Listener<Events[K]>): this {
    return this.on(name, listener);
  }

  removeListener<K extends keyof Events>(name: K, listener: Listener<Events[K]>): this {
    return this.off(name, listener);
  }

  removeAllListeners<K extends keyof Events>(name?: K): this {
    if (name === undefined) this.#listeners.clear();
    else this.#listeners.delete(name);
    return this;
  }

  protected emit<K extends keyof Events>(name: K, payload: Events[K]): void {
    for (const entry of [...(this.#listeners.get(name) ?? [])]) {
      if (entry.once) this.off(name, entry.call as Listener<Events[K]>);
      try {
        (entry.call as Listener<Events[K]>)(payload);
      } catch (thrown) {
        queueMicrotask(() => {
          throw thrown;
        });
      }
    }
  }

  #add<K extends keyof Events>(name: K, listener: Listener<Events[K]>, once: boolean): this {
    const entries = this.#listeners.get(name) ?? [];
    this.#listeners.set(name, [...entries, { call: listener as Listener<never>, once }]);
    return this;
  }
}
