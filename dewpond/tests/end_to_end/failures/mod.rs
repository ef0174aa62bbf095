//! Processes that are killed and machines that lose power: nothing acknowledged is lost, and nothing is doubled.

mod balancer;
mod kill;
mod power_loss;
