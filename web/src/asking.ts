/** One question asked again and again, whose answers may be slow. */
export class Asking<Answer> {
  #turn = 0;
  #isWaiting = false;

  /** From now on the question is another one, or none: answers to the former are not heard. */
  change(): void {
    this.#turn++;
    this.#isWaiting = false;
  }

  /** Ask, unless the answer to the last time is still awaited. `question` does not reject. */
  async ask(question: () => Promise<Answer>, hear: (answer: Answer) => void): Promise<void> {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const turn = this.#turn;
    const answer = await question();
    if (turn !== this.#turn) return;
    this.#isWaiting = false;
    hear(answer);
  }
}
