//! The checksums of table files, which a commit keeps for the files that it adds. `lake check` compares them.

use std::collections::BTreeMap;

use super::file::TableFile;

/// The key under which a commit's checksums stand in `commitInfo.operationParameters`: a JSON object by log path.
pub(crate) const CHECKSUMS: &str = "checksums";

/// The checksums of files that a commit adds, as it keeps them.
pub(crate) fn to_parameter(files: &[TableFile]) -> Option<String> {
    let checksums: BTreeMap<&str, &str> =
        files.iter().filter_map(|file| Some((file.log_path.as_str(), file.checksum.as_deref()?))).collect();
    (!checksums.is_empty()).then(|| serde_json::to_string(&checksums).expect("a map of strings is plain data"))
}

/// The checksums that a commit keeps, by log path. Those of releases before there were any are none.
pub(crate) fn from_parameter(parameter: Option<&str>) -> Result<BTreeMap<String, String>, serde_json::Error> {
    parameter.map_or(Ok(BTreeMap::new()), serde_json::from_str)
}
