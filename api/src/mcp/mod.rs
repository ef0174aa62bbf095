//! The Model Context Protocol: tools with which a language model reads metrics and asks SQL. They answer what the API
//! answers, from the same code, to the same readers, within the same limits.

mod definitions;
mod tools;

use std::sync::Arc;

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};

use crate::http::caller::reader::{By, Reader};
use crate::http::sql::SQL_BYTES_MAX;
use crate::http::state::Api;

/// What a model reads before it calls anything.
const INSTRUCTIONS: &str = "Dewpond holds product and web analytics: events, and metrics that are defined as SQL. \
     For a number that a metric defines, read the report or its history and cite the metric, so that it is the number \
     everybody else sees. Only for other questions run SQL; describe_tables says what there is. Events of robots are \
     stored too: metrics leave them out with NOT is_bot.";

/// The tools, for one reader or for whoever sends a request.
#[derive(Clone)]
pub(crate) struct Tools {
    api: Arc<Api>,
    /// Who asks; if it is not given, each request says so.
    reader: Option<Reader>,
}

/// Answers on standard input and output until the input ends.
///
/// - `site`: the one site that is read; the whole lake if not given.
pub async fn serve_stdio(api: Arc<Api>, site: Option<String>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let reader = match site {
        None => Reader::Everything,
        Some(site) => {
            api.check_site(Some(&site)).await.map_err(|refused| refused.words()["message"].to_string())?;
            Reader::Sites { sites: [site.into()].into(), share: None, by: By::Key }
        }
    };
    Tools { api, reader: Some(reader) }.serve(stdio()).await?.waiting().await?;
    Ok(())
}

/// Answers over HTTP, each request by itself. Who asks is in the request's extensions.
pub(crate) fn http_service(api: Arc<Api>) -> StreamableHttpService<Tools, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        // Whoever comes without a key is checked before, see `reader`; a key says enough of the others.
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(2 * SQL_BYTES_MAX);
    let tools = move || Ok(Tools { api: api.clone(), reader: None });
    StreamableHttpService::new(tools, Arc::new(NeverSessionManager::default()), config)
}

impl Tools {
    fn reader(&self, context: &RequestContext<RoleServer>) -> Result<Reader, ErrorData> {
        let of_request = || context.extensions.get::<Parts>()?.extensions.get::<Reader>().cloned();
        let reader = self.reader.clone().or_else(of_request);
        reader.ok_or_else(|| ErrorData::internal_error("nobody was identified as the reader", None))
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("dewpond", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(definitions::tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let reader = self.reader(&context)?;
        let arguments = request.arguments.unwrap_or_default();
        let answer = tokio::select! {
            // Nobody waits for the answer any more.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
            answer = tools::call(&self.api, &reader, &request.name, arguments) => answer,
        };
        Ok(match answer {
            Ok(answer) => CallToolResult::structured(answer).into(),
            // The model can do something about most of them, and hears what.
            Err(refused) => CallToolResult::structured_error(refused.words()).into(),
        })
    }
}
