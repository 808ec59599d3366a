use super::*;

/// One job, read and completed with the defaults.
pub(crate) fn job(text: &str) -> ScrapeConfig {
    let file: ScrapeConfigFile = model::yaml::parse("job.yml", text).unwrap();
    file.resolve(&GlobalConfig::default(), Path::new("")).unwrap()
}
