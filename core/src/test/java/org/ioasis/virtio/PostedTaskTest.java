// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import org.junit.jupiter.api.Test;

/** A task that waits once, and is owed when the loop takes no more. */
class PostedTaskTest {
    private final ArrayDeque<Runnable> loop = new ArrayDeque<>();
    private final List<String> done = new ArrayList<>();
    private boolean isFull;
    private int refusals;
    private final PostedTask task = new PostedTask(this::execute, () -> done.add("done"));

    private void execute(Runnable posted) {
        if (isFull || refusals-- > 0) {
            throw new RejectedExecutionException("full");
        }
        loop.add(posted);
    }

    @Test
    void itWaitsOnceHoweverOftenItIsPosted() {
        for (int i = 0; i < 10; i++) {
            task.post();
        }

        assertThat(loop).hasSize(1);
        loop.remove().run();
        assertThat(done).hasSize(1);
        task.post();
        assertThat(loop).as("and once more when it has run").hasSize(1);
    }

    @Test
    void whatTheLoopRefusesIsOwedOnceAndPostedAgain() {
        isFull = true;
        task.post();
        assertThat(task.refused()).isEqualTo(1);
        isFull = false;

        assertThat(task.isOwed()).isTrue();
        assertThat(task.takeOwed()).isTrue();
        assertThat(task.isOwed()).isFalse();
        assertThat(task.takeOwed()).isFalse();
        task.post();
        assertThat(loop).hasSize(1);
    }

    @Test
    void loopThatHasBecomeEmptyMeanwhileTakesIt() {
        refusals = 1;
        task.post();

        assertThat(loop).as("nobody would ask what is owed").hasSize(1);
        task.post();
        assertThat(loop).as("it waits once").hasSize(1);
    }
}
