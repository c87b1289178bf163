# Makes the files beside it with pytrec_eval (pip install pytrec_eval-terrier==0.5.11).
import random, json, pytrec_eval
random.seed(5)
qrels, run = {}, {}
for q in range(1, 31):
    docs = [f"d{i}" for i in range(1, 61)]
    judged = random.sample(docs, random.randint(1, 25))
    qrels[f"q{q}"] = {d: random.choice([0,0,1,1,2,3,-1] if q%3 else [0,1]) for d in judged}
    if q % 7 == 0: continue
    found = random.sample(docs, random.randint(1, 55))
    # few distinct scores: ties; some differ beyond single precision only
    run[f"q{q}"] = {d: random.choice([1.5, 1.5+1e-12, 2.25, 0.1, -3.0, random.random()*4]) for d in found}
with open('qrels.txt','w') as f:
    for q in qrels:
        for d in qrels[q]: f.write(f"{q} 0 {d} {qrels[q][d]}\n")
with open('run.txt','w') as f:
    for q in run:
        for i,d in enumerate(run[q]): f.write(f"{q} Q0 {d} {i+1} {run[q][d]!r} golden\n")
m={'ndcg_cut.5,10,20':0,'ndcg':0,'recall.5,10,100':0,'P.5,10':0,'map':0,'map_cut.10':0,'recip_rank':0}
ev=pytrec_eval.RelevanceEvaluator(qrels, set(m))
res=ev.evaluate(run)
names={'ndcg_cut_5':'ndcg@5','ndcg_cut_10':'ndcg@10','ndcg_cut_20':'ndcg@20','ndcg':'ndcg','recall_5':'recall@5','recall_10':'recall@10','recall_100':'recall@100','P_5':'p@5','P_10':'p@10','map':'map','map_cut_10':'map@10','recip_rank':'mrr'}
out={q:{names[k]:v for k,v in r.items() if k in names} for q,r in sorted(res.items())}
json.dump(out,open('figures.json','w'),indent=0,sort_keys=True)
