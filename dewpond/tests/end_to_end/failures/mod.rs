//! Killed processes and power loss: nothing acknowledged is lost, and nothing is duplicated.

mod balancer;
mod kill;
mod power_loss;
