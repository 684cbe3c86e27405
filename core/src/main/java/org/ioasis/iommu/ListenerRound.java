// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One request's calls to listeners: made in order, each after the answer to the one before; undone
 * in reverse order if one is refused. Loop thread.
 */
final class ListenerRound {
    /** Takes the end of the round: OK, or the status of the listener that refused. */
    interface End {
        void ended(Status status);
    }

    private record Step(
            DomainListener listener, boolean maps, long first, long last, long output, int flags) {
        void call(boolean undo, DomainListener.Answer answer) {
            if (maps != undo) {
                listener.mapped(first, last, output, flags, answer);
            } else {
                listener.unmapped(first, last, answer);
            }
        }
    }

    private final List<Step> steps = new ArrayList<>();
    private @Nullable End end;
    private int next;
    private Status outcome = Status.OK;
    private boolean isCalling;
    private boolean isOver;
    private boolean hasLostCopy;

    boolean isEmpty() {
        return steps.isEmpty();
    }

    /** True once every answer is there and {@link End} was told. */
    boolean isOver() {
        return isOver;
    }

    /** True, to be told of more. */
    boolean map(DomainListener listener, long first, long last, long output, int flags) {
        return steps.add(new Step(listener, true, first, last, output, flags));
    }

    /** True, to be told of more. */
    boolean unmap(DomainListener listener, long first, long last, long output, int flags) {
        return steps.add(new Step(listener, false, first, last, output, flags));
    }

    void start(End whenEnded) {
        end = whenEnded;
        proceed();
    }

    /** The IOMMU was reset: answers that still come mean nothing. */
    void cancel() {
        isOver = true;
    }

    /**
     * True if a listener that had given a mapping up refused to take it back: its copy is no longer
     * that of the domain it stays in.
     */
    boolean hasLostCopy() {
        return hasLostCopy;
    }

    /** The answer to one call; a second one is a mistake of the listener, whenever it comes. */
    private final class StepAnswer implements DomainListener.Answer {
        private final boolean maps;
        private final boolean undoes;
        private boolean isThere;

        StepAnswer(boolean maps, boolean undoes) {
            this.maps = maps;
            this.undoes = undoes;
        }

        @Override
        public void ok() {
            take(Status.OK);
        }

        @Override
        public void refused(Status status) {
            if (status == Status.OK || !maps) {
                throw new IllegalStateException(
                        "a listener refused with " + status + " what it cannot refuse");
            }
            take(status);
        }

        private void take(Status status) {
            if (isThere) {
                throw new IllegalStateException("a listener answered twice");
            }
            isThere = true;
            if (isOver) {
                return;
            }
            if (status != Status.OK && undoes) {
                hasLostCopy = true;
            } else if (status != Status.OK) {
                outcome = status;
            }
            // A listener that answers inside its call must not recurse once per step.
            if (!isCalling) {
                step();
                proceed();
            }
        }
    }

    private void proceed() {
        while (!isOver) {
            boolean undo = outcome != Status.OK;
            if (undo ? next < 0 : next == steps.size()) {
                isOver = true;
                if (end == null) {
                    throw new IllegalStateException("the round was never started");
                }
                end.ended(outcome);
                return;
            }
            Step call = steps.get(next);
            StepAnswer answer = new StepAnswer(call.maps() != undo, undo);
            isCalling = true;
            call.call(undo, answer);
            isCalling = false;
            if (!answer.isThere) {
                return; // goes on when it is
            }
            step();
        }
    }

    private void step() {
        // A refused step has left nothing behind, so undoing starts with the one before it.
        next += outcome == Status.OK ? 1 : -1;
    }
}
