use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec, ResourceFieldSelector,
    ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{EnvError, FIELD_PATHS, Source, environment};
use crate::host::Host;

fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = Some(ObjectFieldSelector { field_path: path.to_owned(), api_version: None });
    let value_from = Some(EnvVarSource { field_ref, ..EnvVarSource::default() });
    EnvVar { name: name.to_owned(), value: None, value_from }
}

fn resource(name: &str, resource: &str, divisor: &str) -> EnvVar {
    let resource_field_ref = Some(ResourceFieldSelector {
        resource: resource.to_owned(),
        divisor: Some(Quantity(divisor.to_owned())),
        container_name: None,
    });
    let value_from = Some(EnvVarSource { resource_field_ref, ..EnvVarSource::default() });
    EnvVar { name: name.to_owned(), value: None, value_from }
}

fn resolve(env: Vec<EnvVar>) -> Result<Vec<(String, String)>, EnvError> {
    let limits = BTreeMap::from([("cpu".to_owned(), Quantity("1500m".to_owned()))]);
    let container = Container {
        env: Some(env),
        resources: Some(ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() }),
        ..Container::default()
    };
    let mut pod = Pod { spec: Some(PodSpec::default()), ..Pod::default() };
    pod.metadata.name = Some("web".to_owned());
    pod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), "shop".to_owned())]));
    let host =
        Host { memory_bytes: 3 << 20, cpu_millis: 4000, node_name: "n1".to_owned(), ..Host::default() };
    let addresses = ["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    environment(&container, Source { pod: &pod, addresses: &addresses, host: &host })
}

fn value(env: Vec<EnvVar>, name: &str) -> String {
    super::lookup(&resolve(env).unwrap(), name).unwrap().to_owned()
}

#[test]
fn a_value_sees_the_variables_before_it_and_not_those_after() {
    let env = vec![literal("B", "$(A)-$(C)"), literal("A", "1"), literal("C", "$(A)$$(A)")];
    assert_eq!(value(env.clone(), "B"), "$(A)-$(C)");
    assert_eq!(value(env, "C"), "1$(A)");
}

#[test]
fn a_later_variable_replaces_an_earlier_one_and_may_use_it() {
    let env = vec![literal("PATH", "/bin"), literal("PATH", "/opt:$(PATH)")];
    assert_eq!(resolve(env).unwrap(), [("PATH".to_owned(), "/opt:/bin".to_owned())]);
}

#[test]
fn fields_of_the_pod() {
    let env = vec![
        field("NAME", "metadata.name"),
        field("NS", "metadata.namespace"),
        field("APP", "metadata.labels['app']"),
        field("NONE", "metadata.labels['absent']"),
        field("IPS", "status.podIPs"),
        literal("URL", "http://$(NAME).$(NS)"),
    ];
    assert_eq!(value(env.clone(), "APP"), "shop");
    assert_eq!(value(env.clone(), "NONE"), "");
    assert_eq!(value(env.clone(), "IPS"), "10.0.0.5,fd00::5");
    assert_eq!(value(env, "URL"), "http://web.default");
}

#[test]
fn every_field_that_validation_admits_resolves() {
    for path in FIELD_PATHS {
        assert!(resolve(vec![field("X", path)]).is_ok(), "{path}");
    }
    assert!(matches!(resolve(vec![field("X", "spec.replicas")]), Err(EnvError::UnknownField { .. })));
}

#[test]
fn resources_are_rounded_up_and_an_absent_limit_is_the_nodes() {
    assert_eq!(value(vec![resource("X", "limits.cpu", "1")], "X"), "2");
    assert_eq!(value(vec![resource("X", "limits.cpu", "1m")], "X"), "1500");
    assert_eq!(value(vec![resource("X", "limits.memory", "1Mi")], "X"), "3");
    assert_eq!(value(vec![resource("X", "requests.cpu", "1m")], "X"), "1500");
    assert_eq!(value(vec![resource("X", "requests.memory", "1")], "X"), "0");
}
