mod ext;
mod header;
mod oracle;
mod rtcp;
mod seq;
mod transport_cc;
