import { describe, expect, it } from 'vitest';
import { Asking } from '../src/asking.js';

/** Questions in the order in which they were asked, to be answered by hand. */
function server() {
  const asked: ((answer: string) => void)[] = [];
  const heard: string[] = [];
  const asking = new Asking<string>();
  const ask = () =>
    asking.ask(
      () => new Promise((resolve) => asked.push(resolve)),
      (answer) => heard.push(answer),
    );
  return { asked, heard, asking, ask };
}

describe('asking again and again', () => {
  it('hears answers that take longer than the time between two questions', async () => {
    const { asked, heard, ask } = server();
    const first = ask();
    await ask();
    expect(asked).toHaveLength(1);
    asked[0]?.('slow');
    await first;
    expect(heard).toEqual(['slow']);
    const second = ask();
    asked[1]?.('next');
    await second;
    expect(heard).toEqual(['slow', 'next']);
  });

  it('asks another question at once, and does not hear the answer to the former', async () => {
    const { asked, heard, asking, ask } = server();
    const former = ask();
    asking.change();
    const latter = ask();
    asked[1]?.('of the latter');
    asked[0]?.('of the former');
    await Promise.all([former, latter]);
    expect(heard).toEqual(['of the latter']);
    const again = ask();
    asked[2]?.('again');
    await again;
    expect(heard).toEqual(['of the latter', 'again']);
  });
});
