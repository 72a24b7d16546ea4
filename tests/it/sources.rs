//! The read path: a conformance test of `DaySource`, run against each layer and against the whole stack; collapsing; freshness.

mod collapsing;
mod contract;
mod freshness;
mod layers;
mod stub;

use rstest::rstest;

use self::layers::Layer;

#[rstest]
#[case::feishu(Layer::Feishu)]
#[case::archive_tier(Layer::ArchiveTier)]
#[case::fill_cache(Layer::FillCache)]
#[case::single_flight(Layer::SingleFlight)]
#[case::read_cache(Layer::ReadCache)]
#[case::narrow_from_whole(Layer::NarrowFromWhole)]
#[case::the_whole_stack(Layer::Stack)]
#[tokio::test]
async fn a_source_fulfils_the_contract(#[case] layer: Layer) {
    contract::the_requested_day_is_complete(layer).await;
    contract::loading_again_returns_the_same_rows(layer).await;
    contract::concurrent_loads_return_the_same_rows(layer).await;
    contract::all_waiters_get_the_failure_and_later_loads_succeed(layer).await;
    contract::a_dropped_caller_affects_no_other_caller(layer).await;
    contract::a_forecast_loads_nothing(layer).await;
}
