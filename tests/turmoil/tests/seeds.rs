//! Fixed seeds, or those that the environment names.

#[cfg(not(riser_turmoil))]
#[test]
#[ignore = "wants a build of its own: see tests/turmoil/README.md"]
fn real_async_code_holds_on_a_simulated_network() {}

#[cfg(riser_turmoil)]
mod simulated {
    use riser_turmoil::{plan::Plan, run::run};

    fn holds(seed: u64) {
        match run(&Plan::of(seed)) {
            Ok(outcome) => println!("seed {seed}: {outcome:?}"),
            Err(error) => panic!("seed {seed}: {error:#}"),
        }
    }

    #[test]
    fn real_async_code_holds_on_a_simulated_network() {
        let seeds = std::env::var("RISER_TURMOIL_SEEDS").unwrap_or_else(|_| "1-6".to_owned());
        let (first, last) = seeds.split_once('-').expect("RISER_TURMOIL_SEEDS=first-last");
        let number = |text: &str| text.parse::<u64>().expect("RISER_TURMOIL_SEEDS=first-last");
        if std::env::var_os("RISER_TURMOIL_LOG").is_some() {
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
        }
        (number(first)..=number(last)).for_each(holds);
    }
}
