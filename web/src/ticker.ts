/** A worker that ticks: browsers slow down the timers of a page in the background, but not those of a worker. */
self.onmessage = ({ data }: MessageEvent<number>) => {
  setInterval(() => self.postMessage(null), data);
};
