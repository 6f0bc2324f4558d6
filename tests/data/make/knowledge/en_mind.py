"""English scenarios: mind, sleep and alcohol."""

from scenario import Scenario as S

SCENARIOS = [
    S(
        "insomnia-shift-work", topic="Insomnia and shift work", ages=(24, 58),
        case="{name}, {age}, works nights and lies awake for hours after a shift.",
        say=(
            "I work nights and cannot sleep during the day.",
            "I am {age} and have slept badly for {n} weeks.",
            "My husband lies awake until three every night.",
            "My mind races as soon as I turn off the light.",
        ),
        ask=(
            ("Are sleeping tablets a good idea?", "Only for a short time, and not before better sleep habits have been tried."),
            ("What improves sleep?", "Fixed rising times, a dark room and getting up when sleep will not come."),
        ),
        net=(2, 0, 0, 0),
        facts=(
            "Sleep follows an inner clock that is set mainly by light and by rising time.",
            "Trying hard to sleep keeps the brain awake.",
            "Alcohol makes people fall asleep sooner but wake in the second half of the night.",
        ),
        advice=(
            "Get up at a fixed time, on days off as well.",
            "Leave the bed after twenty minutes awake, and return when sleepy.",
            "Keep the room dark, cool and quiet, with ear plugs if needed.",
            "Avoid caffeine in the last eight hours before sleep.",
            "Put the phone away an hour before bed.",
        ),
        medicine=(
            "Sleeping tablets are for short use only and must not be mixed with alcohol.",
            "Antihistamine sleep aids can cause confusion and falls in older people.",
        ),
        warn=(
            "See a doctor if sleep is poor three nights a week for a month.",
            "Get help at once for thoughts of self-harm or complete sleeplessness with great energy.",
            "Do not drive when drowsy, and have loud snoring with pauses checked.",
        ),
        follow=("Cognitive behavioural therapy for insomnia works within four to eight weeks.",),
        bad=(
            "Four hours of sleep are plenty for everyone.",
            "A bottle of wine is a good sleeping aid.",
            "Sleeping tablets for years do no harm.",
            "Nodding off at the wheel is no reason to act.",
        ),
        talk=(("Are naps allowed?", "A short nap of twenty minutes before a night shift can keep you safer. Avoid long naps after it, since they push your main sleep further away."),),
    ),
    S(
        "low-mood-weeks", topic="Low mood that lasts for weeks", ages=(20, 65),
        case="{name}, {age}, has lost interest in friends and wakes at four every morning.",
        say=(
            "I have felt empty and tired for {n} weeks.",
            "I am {age} and no longer enjoy anything.",
            "My brother stays in bed and says that nothing matters.",
            "My tablets for depression make me feel sick.",
        ),
        ask=(
            ("Is this depression?", "It may be; low mood on most days for two weeks is a typical sign."),
            ("What helps?", "Talking to someone, daily structure, therapy and sometimes medicine."),
        ),
        net=(0, 0, 1, 0), urgent=(2,), n=(3, 8),
        facts=(
            "Depression is an illness with low mood or loss of interest on most days for two weeks.",
            "Talking therapy and medication both work, and together they work best in severe cases.",
            "Antidepressants need two to six weeks to take effect.",
        ),
        advice=(
            "Tell one person you trust how you feel.",
            "Plan one small, pleasant activity and a walk in daylight every day.",
            "Keep regular times for sleep and meals.",
            "Avoid alcohol and drugs, because they deepen low mood.",
            "Write down questions for the appointment.",
        ),
        medicine=(
            "Do not stop antidepressants suddenly, as dizziness and low mood can return.",
            "Side effects such as nausea often fade within two weeks; ask before changing the dose.",
        ),
        warn=(
            "See a doctor this week if low mood lasts over two weeks.",
            "Call emergency services or a crisis line now for thoughts of ending your life.",
            "Stay with the person and get urgent help if someone talks of suicide.",
        ),
        follow=("A review after two weeks checks safety, side effects and mood.",),
        bad=(
            "Pull yourself together and smile.",
            "People who talk about death never mean it.",
            "Low mood is never an illness.",
            "Therapy is for weak people.",
        ),
        talk=(("How can I help my brother?", "Listen without judging, ask directly whether he thinks of suicide, and offer to go with him to a doctor. If he might act on such thoughts, stay with him and call for help."),),
    ),
    S(
        "panic-attacks", topic="Panic attacks", ages=(18, 45),
        case="{name}, {age}, had a pounding heart and tingling hands in a supermarket.",
        say=(
            "My heart pounds suddenly, and I fear that I am dying.",
            "I am {age} and had {n} panic attacks this month.",
            "My girlfriend no longer takes the bus because of panic.",
            "My hands tingle and I cannot get enough air.",
        ),
        ask=(
            ("Is it the heart?", "Panic feels like it, but a first attack should be checked."),
            ("What do I do in an attack?", "Breathe out slowly, stay where you are and wait for the wave to pass."),
        ),
        net=(0, 0, 2, 1), n=(2, 6),
        facts=(
            "A panic attack is a sudden wave of fear with strong body signals.",
            "It peaks within ten minutes or so and fades by itself.",
            "Avoiding places brings relief for a moment but keeps the fear alive.",
        ),
        advice=(
            "Breathe out slowly, longer than you breathe in.",
            "Stay where you are if it is safe, and name five things you see.",
            "Remind yourself that the wave will pass.",
            "Cut down on caffeine, nicotine and alcohol.",
            "Return to avoided places in small steps.",
        ),
        medicine=(
            "Calming tablets of the diazepam type can cause dependence and are not a lasting solution.",
            "Some antidepressants reduce panic over weeks; a doctor can explain them.",
        ),
        warn=(
            "See a doctor after a first attack, to rule out other causes.",
            "Call emergency services for chest pain, fainting or breathlessness that does not settle.",
            "Get help soon if fear keeps you at home or you think of self-harm.",
        ),
        follow=("Cognitive behavioural therapy usually helps within eight to twelve sessions.",),
        bad=(
            "It is only drama for attention.",
            "Chest pain is always panic in young people.",
            "Stay at home for ever and you are safe.",
            "A few drinks before the bus will do.",
        ),
        talk=(("Should I breathe into a bag?", "That is no longer advised, since it can be harmful if there is another cause. Slow breathing with a long breath out is safer. Practise it every day while calm."),),
    ),
    S(
        "exam-stress", topic="Stress before exams", ages=(15, 24), heldout=True,
        case="{name}, {age}, has stomach aches and sleeps badly before the final exams.",
        say=(
            "My exams start in {n} days, and I cannot concentrate.",
            "I am {age} and feel sick before every test.",
            "My daughter studies all night and hardly eats.",
            "I forget everything as soon as I sit in an exam.",
        ),
        ask=(
            ("How can I calm down?", "Slow breathing, enough sleep, short study blocks and daily exercise."),
            ("Is it normal to feel like this?", "Yes, some stress is normal, and it eases with good habits."),
        ),
        net=(0, 0, 2, 0), n=(3, 9),
        facts=(
            "Some stress sharpens attention, while too much blocks memory.",
            "Sleep fixes what was learned, so nights without sleep lower the marks.",
            "Stress can cause stomach ache, headache and a racing heart.",
        ),
        advice=(
            "Study in blocks of forty minutes with short breaks.",
            "Sleep at least eight hours and stop studying an hour before bed.",
            "Take a walk or do sport every day.",
            "Practise slow breathing for five minutes, also before the exam.",
            "Eat breakfast and drink water, with few energy drinks.",
        ),
        medicine=(
            "Do not take stimulants or calming tablets from friends.",
            "Ask a doctor before using herbal calming products with other medicine.",
        ),
        warn=(
            "See a doctor or counsellor if worry lasts beyond the exams.",
            "Get help at once for thoughts of self-harm or of not wanting to live.",
            "Have weight loss, fainting or repeated vomiting checked soon.",
        ),
        follow=("Ask the school about extra time or support well before the next exam.",),
        bad=(
            "Study through three nights in a row.",
            "Pills from a friend will do the trick.",
            "Young people have no real worries.",
            "Not eating makes the brain faster.",
        ),
        talk=(("What can I do in the exam itself?", "Put your feet flat, breathe out slowly three times and start with an easy question. If your mind goes blank, note any word that comes, and move on for a minute."),),
    ),
    S(
        "alcohol-cutting-down", topic="Cutting down on alcohol", ages=(28, 66),
        case="{name}, {age}, drinks a bottle of wine each evening and wants to stop.",
        say=(
            "I drink a bottle of wine every evening and want to cut down.",
            "I am {age} and my hands shake in the morning until I drink.",
            "My husband drinks more since he lost his job {n} months ago.",
            "My liver test was too high; I drink beer daily.",
        ),
        ask=(
            ("Is it safe to stop at once?", "Not if you drink heavily every day, because sudden stopping can be dangerous."),
            ("How much is too much?", "Less is better; many guides advise at most ten to fourteen small drinks a week."),
        ),
        net=(0, 0, 0, 0), urgent=(1,),
        facts=(
            "Heavy daily drinkers can get dangerous withdrawal when they stop suddenly.",
            "Alcohol harms liver, heart, sleep and mood, and raises the risk of cancer.",
            "The liver can recover well if drinking stops early.",
        ),
        advice=(
            "Write down each drink for a week.",
            "Plan several days a week without alcohol and keep none at home.",
            "Use smaller glasses and drink water in between.",
            "Tell someone about the goal and find a support group.",
            "Ask for medical help with stopping if there is morning shaking.",
        ),
        medicine=(
            "Do not mix alcohol with sleeping tablets, opioids or paracetamol in high doses.",
            "There are medicines against craving, and vitamin B1 may be needed.",
        ),
        warn=(
            "See a doctor before stopping if you drink daily or have had withdrawal.",
            "Call emergency services for a fit, confusion, or seeing things during withdrawal.",
            "Get urgent care for vomiting blood, black stools or yellow skin.",
        ),
        follow=("Liver tests are repeated after some weeks without alcohol.",),
        bad=(
            "Wine every evening keeps people healthy.",
            "Shaking hands only need another glass.",
            "Stop overnight without help, whatever happens.",
            "The liver copes with any amount.",
        ),
        talk=(("What are signs of withdrawal?", "Shaking, sweating, restlessness and nausea within a day of the last drink. Fits, confusion or seeing things are an emergency, so call for help immediately and do not wait."),),
    ),
]
