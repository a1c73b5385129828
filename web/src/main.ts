/** The page of a Rostra server: publish to streams and watch them. */
import { Director, Publish, View } from 'rostra';
import './app.js';
import { serverAddress } from './location.js';

declare global {
  interface Window {
    /** The client library, at hand in the browser's console and for tests. */
    rostra: { Director: typeof Director; Publish: typeof Publish; View: typeof View };
  }
}

Director.setEndpoint(serverAddress());
window.rostra = { Director, Publish, View };
