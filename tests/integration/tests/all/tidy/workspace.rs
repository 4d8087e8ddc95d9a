//! The workspace as cargo resolves it for this host, and its files as they lie in the checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Folders that hold nothing of the project's own.
const FOREIGN_FOLDERS: [&str; 3] = [".git", "target", "node_modules"];

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies two folders below the root")
}

/// The resolved workspace, asked of cargo once per process.
pub fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .features(CargoOpt::AllFeatures)
            .other_options(["--locked".into(), "--filter-platform".into(), host()])
            .exec()
            .expect("cargo metadata answers for the workspace it was built from")
    })
}

/// The platform that this test was built for: what is not built here is not judged here.
fn host() -> String {
    let about = std::process::Command::new("rustc").arg("-vV").output().expect("rustc says its version");
    let about = String::from_utf8(about.stdout).expect("rustc speaks UTF-8");
    about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// Our packages, by name.
pub fn own() -> BTreeMap<&'static str, &'static Package> {
    metadata().workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
}

/// The package's direct dependencies of the given kinds, by package name.
pub fn direct(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    let wanted = package.dependencies.iter().filter(|dependency| kinds.contains(&dependency.kind));
    wanted.map(|dependency| dependency.name.clone()).collect()
}

/// Every package that is built into `from`, with a shortest way to it, not walking into `closed`.
pub fn reachable(from: &Package, closed: &[&str]) -> BTreeMap<String, String> {
    let nodes: BTreeMap<&PackageId, _> =
        metadata().resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (&node.id, node)).collect();
    let mut ways = BTreeMap::from([(from.id.clone(), from.name.to_string())]);
    let mut row = vec![from.id.clone()];
    while !row.is_empty() {
        let mut next = Vec::new();
        for id in row {
            let way = ways[&id].clone();
            for dependency in &nodes[&id].deps {
                let built_in = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                let name = &metadata()[&dependency.pkg].name;
                if !built_in || closed.contains(&name.as_str()) || ways.contains_key(&dependency.pkg) {
                    continue;
                }
                ways.insert(dependency.pkg.clone(), format!("{way} -> {name}"));
                next.push(dependency.pkg.clone());
            }
        }
        row = next;
    }
    ways.into_iter().map(|(id, way)| (metadata()[&id].name.to_string(), way)).collect()
}

/// The path as a violation shows it.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Every file of the project, in the order of their paths.
pub fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(root(), &mut found);
    found.sort();
    assert!(found.len() > 50, "the walk found only {} files: it looked in the wrong place", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the checkout can be read") {
        let entry = entry.expect("the checkout can be read");
        let kind = entry.file_type().expect("the checkout can be read");
        let foreign = FOREIGN_FOLDERS.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !foreign {
            collect(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}
