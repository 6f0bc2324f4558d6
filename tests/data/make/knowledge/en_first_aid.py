"""English scenarios: first aid and vaccination."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "minor-burn-kitchen", topic="Minor burns in the kitchen", ages=(18, 66),
        case="{name}, {age}, splashed hot oil on the back of one hand.",
        say=(
            "I splashed hot oil on my hand.",
            "My toddler pulled a cup of tea over his chest.",
            "I am {age}, burned my arm on the oven {n} hours ago and have a blister.",
            "My wife put butter on a burn.",
        ),
        ask=(
            ("How do I treat the burn?", "Cool it under running water for twenty minutes and cover it loosely."),
            ("Should I open the blister?", "No, the blister protects the skin beneath."),
        ),
        net=(0, 1, 0, 0), urgent=(1,),
        facts=(
            "Cooling under running water in the first hours limits the depth of a burn.",
            "Burns that look white, or do not hurt, may be deep.",
            "Blisters protect the healing skin below.",
        ),
        advice=(
            "Cool with running tap water for twenty minutes, but no ice.",
            "Take off rings and clothing near the burn unless they stick.",
            "Cover loosely with cling film or a clean non-stick dressing.",
            "Leave blisters closed, and put no butter or toothpaste on them.",
            "Keep the rest of the body warm during cooling.",
        ),
        medicine=(
            "Simple pain relief is suitable at the dose on the packet.",
            "Check whether a tetanus booster is due.",
        ),
        warn=(
            "See a doctor for burns larger than the hand or with large blisters.",
            "Go to hospital for burns of face, hands or genitals, or any burn of a small child.",
            "Get care soon for growing redness, pus or fever.",
        ),
        follow=("Change the dressing every two days, and protect new skin from the sun.",),
        bad=(
            "Butter and flour are the best dressing.",
            "A burn that does not hurt is a light one.",
            "Blisters can be opened at home without a thought.",
            "Small children heal from any burn without help.",
        ),
        talk=(("Can I still cool it after an hour?", "Yes, cooling for twenty minutes is useful up to three hours after the burn. Use cool running water rather than ice, which can damage the skin further."),),
    ),
    S(
        "cut-finger-tetanus", topic="A cut and tetanus protection", ages=(18, 74),
        case="{name}, {age}, cut a finger while gardening and cannot recall the last vaccination.",
        say=(
            "I cut my finger in the garden.",
            "I am {age} and cannot remember my last tetanus vaccination.",
            "My wife was bitten in the hand by a cat.",
            "My cut is {n} days old, and the edge is red.",
        ),
        ask=(
            ("Does it need stitches?", "If it gapes, is deep or keeps bleeding, it should be closed soon."),
            ("Is a tetanus shot needed?", "If the last one was over ten years ago, or is unknown, ask today."),
        ),
        net=(0, 0, 0, 2), urgent=(2,), n=(2, 4),
        facts=(
            "Deep or gaping cuts are best closed within some hours.",
            "Tetanus germs live in soil, and full vaccination protects for about ten years.",
            "Cat and human bites often become infected.",
        ),
        advice=(
            "Press firmly with a clean cloth for ten minutes.",
            "Rinse well with running tap water and remove visible dirt.",
            "Cover with a clean plaster and change it when wet.",
            "Look for the vaccination record.",
            "Check that the finger bends, straightens and feels normal.",
        ),
        medicine=(
            "Use antiseptic once for dirty wounds; daily use can slow the healing.",
            "Bites on the hand may need antibiotics to prevent infection.",
        ),
        warn=(
            "See a nurse or doctor the same day for deep, gaping or dirty cuts.",
            "Call emergency services if bleeding spurts or does not stop under pressure.",
            "Get urgent care for numbness, a finger that does not bend, or spreading redness.",
        ),
        follow=("Stitches on a finger usually come out after ten to fourteen days.",),
        bad=(
            "Garden soil is clean, so leave it in.",
            "Cat bites are too small to matter.",
            "Tetanus died out long ago.",
            "A finger that will not bend is only stiff.",
        ),
        talk=(("Can I swim with it?", "Wait until the wound is closed, usually after a week or so. Short showers with a waterproof plaster are fine. Pat the skin dry and put on a new plaster afterwards."),),
    ),
    S(
        "adrenaline-pen-allergy", topic="Severe allergy and the adrenaline pen", ages=(15, 50),
        case="{name}, {age}, is allergic to peanuts and carries an adrenaline pen.",
        say=(
            "I am allergic to peanuts and carry an adrenaline pen.",
            "My daughter, {age}, had a swollen tongue after a cake.",
            "My pen expired {n} months ago.",
            "My colleague was stung by a wasp and felt faint.",
        ),
        ask=(
            ("When should the pen be used?", "At the first sign of trouble breathing, throat swelling or faintness."),
            ("What do I do after using it?", "Call emergency services, lie down and stay under observation."),
        ),
        net=(0, 1, 2, 1), urgent=(1, 3),
        facts=(
            "Anaphylaxis is a severe allergic reaction that can affect breathing and circulation.",
            "Adrenaline is the first treatment, and it works within minutes.",
            "Symptoms can return hours later, so observation in hospital is needed.",
        ),
        advice=(
            "Use the pen in the outer thigh at the first sign of trouble breathing or faintness.",
            "Lie down with raised legs, or sit up if breathing is hard.",
            "Use a second pen after five minutes if there is no improvement.",
            "Carry two pens and check the dates.",
            "Teach friends and colleagues how the pen works.",
        ),
        medicine=(
            "Antihistamines help itching, but do not treat anaphylaxis.",
            "Tell the doctor about beta blockers, as they can weaken adrenaline.",
        ),
        warn=(
            "Call emergency services straight after using the pen, even if you feel better.",
            "Call an ambulance for swelling of the tongue, wheeze or collapse.",
            "See an allergy clinic after any severe reaction.",
        ),
        follow=("A written plan and a training pen make a correct use more likely.",),
        bad=(
            "Wait and see whether breathing stops first.",
            "Stand up and walk it off.",
            "An expired pen is no reason to act.",
            "A swollen tongue is nothing to fuss about.",
        ),
        talk=(("Can using the pen harm me?", "It may cause shaking and a fast heartbeat for some minutes, which is far less dangerous than an untreated reaction. If in doubt, use it and call emergency services."),),
    ),
    S(
        "heat-exhaustion-outdoors", topic="Heat exhaustion", ages=(18, 78),
        case="{name}, {age}, worked on a roof in the sun and felt dizzy and sick.",
        say=(
            "I worked in the sun and feel dizzy and sick.",
            "My grandfather is weak after {n} hot days.",
            "My son got a headache after football in the heat.",
            "I take water tablets and fear the heatwave.",
        ),
        ask=(
            ("What is the right first aid?", "Cool place, lie down, sip fluids and cool the skin."),
            ("How do we get through the heat?", "Drink, stay in the shade at midday and check on each other."),
        ),
        net=(1, 0, 1, 0), n=(2, 4),
        facts=(
            "Heat exhaustion comes from losing water and salt through sweat.",
            "Heat stroke is an emergency with a very hot body and confusion.",
            "Older people feel thirst less and are at higher risk.",
        ),
        advice=(
            "Move to a cool place, lie down and raise the legs.",
            "Sip water or a drink with some salt and sugar.",
            "Cool the skin with wet cloths and a fan.",
            "Stay indoors from noon to late afternoon, and close the shutters.",
            "Look in on older neighbours twice a day.",
        ),
        medicine=(
            "Ask the doctor before summer about water and blood pressure tablets.",
            "Fever tablets do not help against overheating.",
        ),
        warn=(
            "Call emergency services for confusion, fits, collapse or hot skin.",
            "Get urgent care if there is no improvement after thirty minutes of cooling.",
            "See a doctor if dizziness returns on the next days.",
        ),
        follow=("Rest for a day or two, and return to heat slowly.",),
        bad=(
            "Real workers do not need water.",
            "Confusion in the heat is only sleepiness.",
            "Just carry on working in the sun.",
            "Beer is the best drink on hot days.",
        ),
        talk=(("How much should my grandfather drink?", "Many older people need about one and a half to two litres a day in the heat. With heart or kidney disease, ask his doctor for the right amount first."),),
    ),
    S(
        "vaccination-sore-arm", topic="Soreness after a vaccination", ages=(18, 75),
        case="{name}, {age}, has a sore arm and feels tired a day after a vaccination.",
        say=(
            "My arm is sore and warm since my vaccination yesterday.",
            "I am {age} and have a fever after my booster.",
            "My baby was cranky for {n} hours after her shots.",
            "My mother got two vaccines on one day and feels weak.",
        ),
        ask=(
            ("Is this reaction normal?", "Yes, a sore arm, tiredness and mild fever are normal."),
            ("How long does it last?", "Usually one or two days."),
        ),
        net=(0, 0, 2, 0), n=(5, 9),
        facts=(
            "A sore arm, tiredness and mild fever show that the immune system responds.",
            "Most reactions fade within two days.",
            "Serious allergic reactions are rare and usually start within half an hour.",
        ),
        advice=(
            "Move the arm gently and use a cool cloth.",
            "Drink enough and take it easy for a day.",
            "Keep the vaccination record and note the date.",
            "Mark the edge of any redness with a pen.",
        ),
        medicine=(
            "Paracetamol can be taken for discomfort; giving it in advance is seldom needed.",
            "Tell the nurse about blood thinners and allergies before a vaccine.",
        ),
        warn=(
            "See a doctor if fever lasts over two days or redness keeps growing.",
            "Call emergency services for swelling of the face, wheeze or collapse.",
            "Get advice the same day if a baby cries without a break for three hours.",
        ),
        follow=("Report unusual reactions so that they are noted before the next dose.",),
        bad=(
            "Swelling of the face comes with each vaccine.",
            "Growing redness after a shot is a good sign.",
            "Records of vaccines are waste paper.",
            "Collapse after a shot is play-acting.",
        ),
        talk=(("Can I exercise today?", "Light activity is fine if you feel well, and moving the arm may ease the soreness. Leave hard training for a day or two, and rest if you have fever."),),
    ),
]
