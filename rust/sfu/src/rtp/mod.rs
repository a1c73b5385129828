//! RTP and RTCP on the wire: headers, header extensions, feedback. Bytes in, values out, and back.
