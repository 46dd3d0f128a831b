use eventwire::Event;

#[derive(Event)]
#[event("this_is_a_name_of_an_event_that_says_more_than_a_name_should_say_and_goes_on_until_it_has_more_characters_than_there_can_be_in_one")]
struct Say {
    text: String,
}

fn main() {}
