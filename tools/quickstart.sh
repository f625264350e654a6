#!/usr/bin/env bash
# Run everything once, in minutes on two cores: install, render, index, pretrain twice, measure, draw.
#   bash tools/quickstart.sh
# Results go to work_dirs/quickstart. Run it again after a kill: it skips what is done and continues.
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    echo "SIGMA_RUNS names another folder for results, SIGMA_DATA another one for the rendered videos (default: data)."
}
case ${1:-} in
'') ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    echo "quickstart: takes no arguments, found $1; --help says what it does." >&2
    exit 2
    ;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
install_environment runtime

work=${SIGMA_RUNS:-work_dirs/quickstart}
export SIGMA_RUNS=$work SIGMA_DATA=${SIGMA_DATA:-data}
cores=$(python -c 'import os; print(min(2, len(os.sched_getaffinity(0))))')
gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
processes=$((gpus > 0 ? 1 : cores))

echo "== the toy dataset: rendered, encoded, indexed"
python tools/prepare.py toy --out "$SIGMA_DATA/toy"

for name in demo_videomae_vit-t_toy demo_sigma-mlp_vit-t_toy; do
    echo "== pretraining $name"
    if [ -f "$work/pretrain/$name/encoder.safetensors" ]; then
        echo "already done: $work/pretrain/$name/encoder.safetensors"
    else
        bash tools/dist_train.sh "mmaction_configs/pretrain/$name.py" "$processes" --work-dir "$work/pretrain/$name" --resume
    fi
done

echo "== measuring"
python eval/run_severe.py --suite demo --encoders random videomae_toy sigma_mlp_toy --seeds 0 1 --work-dir "$work"
python tools/plot.py --records "$work" --figure bars --out "$work/comparison"
echo "figure: $work/comparison.png and $work/comparison.svg"
