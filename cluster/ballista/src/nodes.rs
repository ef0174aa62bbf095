//! Ballista's scheduler and executors over a lake. A stock one would know neither the functions that plans call by name nor
//! where the lake lies.
//!
//! Ballista asks nobody who he is: whoever reaches a node can have it read the lake. Nodes listen on 127.0.0.1 unless they
//! are told otherwise, and belong into a network of their own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::utils::default_config_producer;
use ballista_executor::executor_process::ExecutorProcessConfig;
use ballista_executor::new_standalone_executor_from_builder;
use ballista_scheduler::SessionBuilder;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::standalone::new_standalone_scheduler_with_builder;
use engine::Engine;

use crate::ballista_exec::MESSAGE_BYTES_MAX;

/// The settings of a scheduler.
pub fn scheduler_settings(engine: &Engine, listen: SocketAddr) -> SchedulerConfig {
    SchedulerConfig {
        bind_host: host_of(listen.ip()),
        bind_port: listen.port(),
        external_host: host_of(listen.ip()),
        grpc_server_max_decoding_message_size: MESSAGE_BYTES_MAX,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES_MAX,
        override_session_builder: Some(sessions_of(engine)),
        ..SchedulerConfig::default()
    }
}

/// The settings of an executor, whose plans take the engine's memory and store. What it sends others lies in a temporary
/// directory of Ballista's.
///
/// - `listen`: the port for rows; the next one is for tasks.
/// - `advertise`: the host that others find it by; that of `listen` if not given.
/// - `scheduler`: its host and port.
///
/// Fails in words if others would not find it.
pub fn executor_settings(
    engine: &Engine,
    listen: SocketAddr,
    advertise: Option<String>,
    (host, port): (String, u16),
) -> Result<ExecutorProcessConfig, String> {
    let advertise = match advertise {
        Some(host) => host,
        None if listen.ip().is_unspecified() => {
            return Err("--listen is every address: say with --advertise by which host others find this one".to_owned());
        }
        None => host_of(listen.ip()),
    };
    let grpc_port = listen.port().checked_add(1).ok_or("--listen: the next port is needed, too, and there is none")?;
    let runtime = engine.runtime_env();
    Ok(ExecutorProcessConfig {
        bind_host: host_of(listen.ip()),
        external_host: Some(advertise),
        port: listen.port(),
        grpc_port,
        scheduler_host: host,
        scheduler_port: port,
        grpc_max_decoding_message_size: MESSAGE_BYTES_MAX,
        grpc_max_encoding_message_size: MESSAGE_BYTES_MAX,
        // None beside the engine's, which all tasks share.
        memory_pool_size: Some(0),
        override_function_registry: Some(Arc::new(functions_of(engine))),
        override_runtime_producer: Some(Arc::new(move |_| Ok(runtime.clone()))),
        ..ExecutorProcessConfig::default()
    })
}

/// An address as it stands in a URL.
fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Sessions with the engine's functions, and with the options that Ballista relies on.
fn sessions_of(engine: &Engine) -> SessionBuilder {
    let engine = engine.clone();
    Arc::new(move |config| {
        let mut state = engine.worker_state(config);
        // Ballista deals out files, and stages that deal out rows again would be planned as none.
        state.config_mut().options_mut().optimizer.enable_round_robin_repartition = false;
        Ok(state)
    })
}

/// Starts a scheduler and one executor in this process, on free ports of 127.0.0.1. Returns the scheduler's URL.
pub async fn standalone(engine: &Engine, vcores: usize) -> anyhow::Result<String> {
    let runtime = engine.runtime_env();
    let config = Arc::new(default_config_producer);
    let codec = BallistaCodec::default();
    let address = new_standalone_scheduler_with_builder(sessions_of(engine), config.clone(), codec.clone()).await?;
    let url = format!("http://localhost:{}", address.port());
    let scheduler = SchedulerGrpcClient::connect(url.clone()).await?;
    let runtime = Arc::new(move |_: &_| Ok(runtime.clone()));
    new_standalone_executor_from_builder(scheduler, vcores, config, runtime, codec, functions_of(engine)).await?;
    Ok(url)
}

fn functions_of(engine: &Engine) -> BallistaFunctionRegistry {
    (&engine.worker_state(Default::default())).into()
}
