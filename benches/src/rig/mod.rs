//! What measurements are made with: lakes, load, processes, and the figures of the machine.

pub(crate) mod lake_of;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod own_process;
mod request;
pub(crate) mod server;
