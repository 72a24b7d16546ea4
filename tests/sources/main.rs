//! What every source of days promises, asked of each layer of the read path alike.

mod layers;
mod promises;
mod stub;

use rstest::rstest;

use layers::Layer;

#[rstest]
#[case::feishu(Layer::Feishu)]
#[case::archived(Layer::Archived)]
#[case::keep(Layer::Keep)]
#[case::single_flight(Layer::SingleFlight)]
#[case::recall(Layer::Recall)]
#[case::subset(Layer::Subset)]
#[case::the_whole_stack(Layer::Stack)]
#[tokio::test]
async fn a_source_keeps_its_promises(#[case] layer: Layer) {
    promises::the_day_that_was_asked_for_comes_whole(layer).await;
    promises::asking_again_brings_the_same(layer).await;
    promises::many_who_ask_at_once_get_the_same(layer).await;
    promises::everyone_who_waits_is_told_the_same_failure_and_the_next_is_not(layer).await;
    promises::a_caller_who_leaves_spoils_nothing(layer).await;
    promises::a_forecast_asks_for_nothing(layer).await;
}
