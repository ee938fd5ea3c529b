//! One module for each command.

pub(crate) mod classify;
pub(crate) mod corpus;
pub(crate) mod decompile;
pub(crate) mod diff;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod functions;
pub(crate) mod import;
pub(crate) mod index;
pub(crate) mod listing;
pub(crate) mod mcp;
pub(crate) mod model;
pub(crate) mod pull;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod similar;
pub(crate) mod train;
