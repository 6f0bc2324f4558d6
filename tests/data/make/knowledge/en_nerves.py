"""English scenarios: head and nerves."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "migraine-attack", topic="Migraine attacks", ages=(18, 50), heldout=True,
        case="{name}, {age}, has throbbing headaches with nausea twice a month.",
        say=(
            "I have a throbbing headache on one side and feel sick.",
            "I am {age} and have had {n} migraines this month.",
            "My daughter sees zigzag lines before her headache.",
            "My migraine tablet works only half of the time.",
        ),
        ask=(
            ("How do I treat an attack?", "Take your tablet early, lie down in a dark room and sip water."),
            ("Can attacks be prevented?", "Yes, with regular habits and, if needed, preventive treatment."),
        ),
        net=(1, 0, 1, 0), n=(3, 5),
        facts=(
            "Migraine is a brain disorder with attacks of throbbing pain, nausea and dislike of light.",
            "Missed meals, poor sleep, stress and periods are common triggers.",
            "Treatment works best when it is taken early in the attack.",
        ),
        advice=(
            "Lie down in a dark, quiet room with a cool cloth on the forehead.",
            "Drink water in small sips and eat something light if possible.",
            "Keep a headache diary with triggers and tablets.",
            "Go to bed and eat at regular times.",
            "Plan gentle exercise on most days.",
        ),
        medicine=(
            "Use pain tablets on no more than two days a week, to avoid rebound headache.",
            "Women who have migraine with aura should ask before using a combined pill.",
        ),
        warn=(
            "See a doctor if attacks come four times a month or tablets fail.",
            "Call emergency services for a sudden worst-ever headache, weakness or confusion.",
            "Get urgent care for headache with fever, stiff neck or after a head injury.",
        ),
        follow=("A preventive treatment is judged after two to three months with the help of the diary.",),
        bad=(
            "A sudden worst headache is a migraine like any other.",
            "Take tablets every single day to be on the safe side.",
            "Migraine is an excuse of weak people.",
            "Confusion with headache is only tiredness.",
        ),
        talk=(
            ("Does coffee help or harm?", "A small coffee early in an attack helps some people. Daily large amounts, or suddenly stopping them, can cause headaches, so keep the amount low and steady."),
            ("Is it dangerous to see zigzag lines?", "Zigzag lines for up to an hour are a common migraine aura. Have the first episode checked, and call emergency services if weakness, numbness or speech trouble is new."),
        ),
    ),
    S(
        "tension-headache-work", topic="Tension headache", ages=(20, 58),
        case="{name}, {age}, has a pressing band around the head on busy days.",
        say=(
            "I have a dull pressure around my head after work.",
            "I am {age} and have had a headache {n} days this week.",
            "My head feels as if it were in a vice when I am stressed.",
            "My son has headaches before tests.",
        ),
        ask=(
            ("Could it be a tumour?", "Very unlikely with this pattern and no other symptoms."),
            ("How do I get rid of it?", "Breaks, fresh air, water, relaxation and at most a few tablets."),
        ),
        net=(0, 0, 0, 0), n=(3, 5),
        facts=(
            "Tension headache presses on both sides and is usually mild to moderate.",
            "Stress, little sleep, eye strain and tight neck muscles contribute.",
            "A normal examination and a typical pattern make a dangerous cause very unlikely.",
        ),
        advice=(
            "Take breaks, stretch the neck and go out into fresh air.",
            "Drink enough and do not skip meals.",
            "Practise slow breathing or muscle relaxation for ten minutes daily.",
            "Have eyesight and screen position checked.",
        ),
        medicine=(
            "Take simple painkillers on two days a week at most.",
            "Do not combine several headache products that contain the same substance.",
        ),
        warn=(
            "See a doctor if headaches come on more than ten days a month.",
            "Call emergency services for a sudden severe headache, weakness or confusion.",
            "Get checked soon for a new headache after 50 or one that wakes you.",
        ),
        follow=("Keep a diary for four weeks, then look for a pattern together with the doctor.",),
        bad=(
            "A new headache at 70 is as harmless as at 20.",
            "Painkillers every morning are a fine habit.",
            "Weakness with headache is stress and only stress.",
            "Headaches exist merely in the mind.",
        ),
        talk=(("Would glasses help?", "If you squint or the headaches follow reading, an eye test is worth it. Many people benefit more from breaks, a better screen height and regular sleep."),),
    ),
    S(
        "medication-overuse-headache", topic="Headache from too many painkillers", ages=(25, 60),
        case="{name}, {age}, takes headache tablets on most days and the pain keeps returning.",
        say=(
            "I take headache tablets almost every day.",
            "I am {age} and wake with a headache although I took tablets.",
            "My wife has used painkillers for her head {n} days a week for months.",
            "The more tablets I take for my head, the worse it gets.",
        ),
        ask=(
            ("Can tablets cause headaches?", "Yes, taken too often they can keep a headache going."),
            ("How are they stopped?", "Make a plan with a doctor and choose a calm time for it."),
        ),
        net=(0, 0, 0, 0), n=(4, 6),
        facts=(
            "Frequent use of headache tablets can itself keep a headache going.",
            "The risk begins at about ten to fifteen days of use a month.",
            "Headaches often grow worse for one or two weeks after stopping, and then improve.",
        ),
        advice=(
            "Count the days with tablets in a calendar.",
            "Plan the stop for a calm fortnight and tell the family.",
            "Use cold packs, rest, water and regular meals in this time.",
            "Ask the doctor for a preventive treatment alongside.",
        ),
        medicine=(
            "Simple painkillers can often be stopped at once; others need a plan with a doctor.",
            "Do not stop opioids or sedatives suddenly without medical advice.",
        ),
        warn=(
            "See a doctor before stopping if you take opioids or many tablets.",
            "Call emergency services for sudden severe headache, fever with stiff neck or weakness.",
            "Get help promptly if mood drops or vomiting is severe while stopping.",
        ),
        follow=("After two months most people see clearly fewer headache days.",),
        bad=(
            "Painkillers can be taken daily for life.",
            "Two tablets instead of one will settle it.",
            "Stopping brings nothing, so do not try.",
            "Tablets without prescription have no side effects.",
        ),
        talk=(("What may I take on a very bad day?", "Agree with your doctor on one rescue medicine and a limit, often two days a week. Try rest, a dark room and fluids first, and note each use."),),
    ),
    S(
        "positional-vertigo", topic="Vertigo when turning the head", ages=(48, 80), heldout=True,
        case="{name}, {age}, feels the room spin for seconds when rolling over in bed.",
        say=(
            "The room spins for seconds when I roll over in bed.",
            "I am {age} and have been dizzy for {n} days when I look up.",
            "My mother gets vertigo when she lies down.",
            "My dizziness came back after a year without it.",
        ),
        ask=(
            ("Is it a stroke?", "Short spells set off by turning the head are usually from the inner ear."),
            ("Are there exercises for it?", "Yes, a clinician can perform and teach a repositioning movement."),
        ),
        net=(1, 0, 0, 1),
        facts=(
            "Short spins with head movement are often caused by loose crystals in the inner ear.",
            "Guided head movements can put the crystals back within minutes.",
            "Positional vertigo is unpleasant but not dangerous by itself.",
        ),
        advice=(
            "Sit up slowly and wait a moment before standing.",
            "Ask a doctor or physiotherapist to perform the repositioning movement.",
            "Keep the floor free and use a night light.",
            "Do not drive or climb ladders while spells occur.",
        ),
        medicine=(
            "Dizziness tablets do not cure it and should be used for a few days at most.",
            "Check with a pharmacist whether another medicine makes dizziness worse.",
        ),
        warn=(
            "See a clinician within days to confirm the cause and treat it.",
            "Call emergency services for vertigo with slurred speech, double vision or weakness.",
            "Get urgent care for sudden hearing loss, a bad headache or constant vomiting.",
        ),
        follow=("It may return; the same movement then usually works again.",),
        bad=(
            "Double vision with dizziness is only tiredness.",
            "Dizziness is never a sign of anything.",
            "You may climb ladders as usual with this.",
            "Slurred speech goes with every dizzy spell.",
        ),
        talk=(("Can I do the movement at home?", "Yes, once a clinician has shown you the right side and steps. Have someone with you the first time, do it on a bed, and stop if the neck hurts."),),
    ),
    S(
        "fainting-when-standing", topic="Fainting", ages=(16, 40),
        case="{name}, {age}, fainted in a hot queue after feeling sick and sweaty.",
        say=(
            "I fainted in a hot queue and came round quickly.",
            "I am {age} and have fainted {n} times this year.",
            "My daughter passes out when she sees blood.",
            "My brother collapsed while running.",
        ),
        ask=(
            ("Is fainting dangerous?", "A common faint is harmless by itself, but the cause should be clear."),
            ("How can I prevent it?", "Drink enough, get up slowly and lie down at the first sign."),
        ),
        net=(0, 0, 0, 1), urgent=(3,), n=(2, 4),
        facts=(
            "A common faint happens when blood pressure drops briefly, for instance in heat or fear.",
            "Warning signs are nausea, sweating, pale skin and narrowing sight.",
            "Fainting during exercise may point to a heart problem.",
        ),
        advice=(
            "Lie down and raise the legs at the first warning sign.",
            "Drink enough, and do not skip breakfast.",
            "Cross the legs and tense the muscles when standing for long.",
            "Get up slowly after lying or sitting.",
            "Ask witnesses what they saw and write it down.",
        ),
        medicine=(
            "Some tablets for blood pressure, prostate or mood can favour fainting.",
            "Do not take extra salt tablets without advice.",
        ),
        warn=(
            "See a doctor after a first faint or if it happens again.",
            "Call emergency services for fainting during exercise, with chest pain or with palpitations.",
            "Get urgent care after a head injury, a fit or slow recovery.",
        ),
        follow=("A heart tracing and blood pressure lying and standing are the first tests.",),
        bad=(
            "Collapsing in a race shows good effort.",
            "Drive yourself home right after fainting.",
            "Fainting never has to do with the heart.",
            "Stand very still and it will not happen.",
        ),
        talk=(("Can I drive?", "Not until the cause is clear. After a simple faint with a known trigger it may be fine soon, but rules differ by country, so ask your doctor first."),),
    ),
    S(
        "epilepsy-missed-tablets", topic="Missed epilepsy tablets", ages=(18, 50),
        case="{name}, {age}, has epilepsy and forgot the tablets on a weekend trip.",
        say=(
            "I have epilepsy and forgot my tablets for {n} days.",
            "I am {age}, seizure-free for two years, and want to stop treatment.",
            "My partner had a seizure last night for the first time in months.",
            "I have epilepsy and want to become pregnant.",
        ),
        ask=(
            ("What do we do in a seizure?", "Clear the space, time it, and turn the person on the side afterwards."),
            ("What if a dose was missed?", "Take the usual dose now and follow the plan of the clinic."),
        ),
        net=(0, 0, 1, 0), n=(2, 3),
        facts=(
            "Missed tablets and lack of sleep are the most common triggers of seizures.",
            "Most seizures end by themselves within two or three minutes.",
            "Stopping epilepsy tablets suddenly can cause dangerous long seizures.",
        ),
        advice=(
            "Take the usual dose now and follow the clinic's plan for missed doses.",
            "Use a phone alarm and a pill box.",
            "Sleep enough and avoid heavy drinking.",
            "In a seizure, clear the space, time it and turn the person on the side afterwards.",
            "Put nothing in the mouth and do not hold the person down.",
        ),
        medicine=(
            "Never stop or change epilepsy tablets without the specialist.",
            "Plan a pregnancy early with the clinic, as some tablets can harm a baby.",
        ),
        warn=(
            "Call the epilepsy clinic if seizures return or doses are often missed.",
            "Call emergency services for a seizure over five minutes or repeated ones.",
            "Get urgent help for injury, trouble breathing or a first seizure ever.",
        ),
        follow=("Keep a seizure diary and ask about driving rules at the next visit.",),
        bad=(
            "A seizure never needs any attention.",
            "Two good years mean that tablets can go today.",
            "A ten-minute seizure is only a long one.",
            "Sleep and alcohol play no part in this.",
        ),
        talk=(("Can he swim?", "With good control he may swim with someone beside him who knows what to do. Tell the lifeguard, avoid deep open water and skip it on days of missed tablets."),),
    ),
    S(
        "stroke-passing-weakness", topic="Weakness that passes within minutes", ages=(58, 82),
        case="{name}, {age}, could not find words for ten minutes and then felt normal.",
        say=(
            "My arm was weak for {n} minutes and is fine now.",
            "I am {age}, and my speech was slurred this morning for a short time.",
            "My wife's face drooped at breakfast and then looked normal.",
            "My left eye went dark for a few minutes yesterday.",
        ),
        ask=(
            ("It is over, so can I wait?", "No, call for help now, since a full stroke may follow."),
            ("What was that?", "It may have been a warning of a stroke, which is an emergency."),
        ),
        net=(0, 0, 0, 0), urgent=(0, 1, 2, 3), n=(5, 9),
        facts=(
            "Symptoms of a stroke that pass within minutes are a warning of a full stroke.",
            "The risk of a stroke is highest in the first two days after such a spell.",
            "Quick treatment after a warning spell prevents most of the strokes that would follow.",
        ),
        advice=(
            "Call emergency services now, even though the symptoms have gone.",
            "Note the exact time when it began.",
            "Do not drive, and stay with another person.",
            "Check face, arms and speech again every few minutes.",
            "Bring all medicines to the hospital.",
        ),
        medicine=(
            "Do not take aspirin before doctors have ruled out bleeding.",
            "Tell staff about blood thinners straight away.",
        ),
        warn=(
            "Call emergency services at once for face, arm or speech problems, also brief ones.",
            "Go to hospital today if such a spell happened within the last week.",
            "Call again immediately if any weakness or speech trouble comes back.",
        ),
        follow=("Tests look at the brain, neck arteries and heart rhythm, and treatment starts at once.",),
        bad=(
            "What has passed cannot come back.",
            "Slurred speech at your age is quite natural.",
            "Have a nap, since brains recover in sleep.",
            "An eye that goes dark for minutes is just tired.",
        ),
        talk=(("Why the hurry if I am well?", "Because the next hours carry the highest risk of a real stroke. Tests and tablets started today can prevent it. Please do not wait for an ordinary appointment."),),
    ),
    S(
        "concussion-sport", topic="Concussion in sport", ages=(12, 30),
        case="{name}, {age}, hit heads with another player and felt dazed.",
        say=(
            "I hit my head at practice and feel dazed.",
            "My son, {age}, had a knock in rugby and has a headache.",
            "I had a concussion {n} days ago, and screens make me dizzy.",
            "My teammate wants to play on after a blow to the head.",
        ),
        ask=(
            ("When is it safe to play again?", "Only after all symptoms have gone and a stepwise return."),
            ("Is waking at night needed?", "Someone should look in once or twice in the first night."),
        ),
        net=(0, 2, 0, 0), n=(2, 6),
        facts=(
            "A concussion is a brief disturbance of the brain after a knock, also without passing out.",
            "Headache, dizziness and poor concentration usually fade within two weeks.",
            "A second blow before recovery can be dangerous.",
        ),
        advice=(
            "Stop playing at once and do not return on the same day.",
            "Rest for one or two days, then add light activity step by step.",
            "Limit screens and bright light while they cause symptoms.",
            "Have an adult stay close for the first day and night.",
            "Go back to school or work before going back to sport.",
        ),
        medicine=(
            "Paracetamol is preferred for the headache; avoid aspirin and ibuprofen on the first day.",
            "Do not take alcohol or sleeping tablets after a head injury.",
        ),
        warn=(
            "See a doctor before returning to sport, or if symptoms last over two weeks.",
            "Call emergency services for repeated vomiting, drowsiness, a fit or weakness.",
            "Get urgent care for a worsening headache, or if you take blood thinners.",
        ),
        follow=("A return to sport takes at least six steps, one day or more for each.",),
        bad=(
            "Real players finish the match.",
            "Vomiting after a blow is only excitement.",
            "If you did not pass out, nothing happened.",
            "Alcohol helps the head to relax.",
        ),
        talk=(("Can he sleep after the knock?", "Yes, sleep is fine if he has been checked and behaves normally. Have someone look in on him during the first night, and get help if he is hard to wake."),),
    ),
]
