// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.ioasis.loop.EventLoop;
import org.ioasis.peer.SessionTasks;
import org.junit.jupiter.api.Test;

/** Tasks of a device on the loop: in order, and inside the error boundary of its session. */
class SessionTasksTest {
    private static final long PATIENCE_NANOS = MockVfioUserClient.WAIT_MILLIS * 1_000_000L;

    @Test
    void taskThatMeetsTruncatedMemoryEndsTheSessionAndTheNextClientIsServed() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            SessionTasks tasks = new SessionTasks(fixture.loop);
            tasks.of(fixture.server);

            tasks.execute(() -> {
                throw new InternalError("a fault occurred in an unsafe memory access");
            });

            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason())
                    .isEqualTo(
                            "client's memory cannot be accessed:"
                                    + " a fault occurred in an unsafe memory access");
            assertThat(fixture.loop.failures()).isZero();
            try (MockVfioUserClient next = fixture.ready()) {
                assertThat(next.read(7, 0, 4)).isNotNegative();
            }
        }
    }

    @Test
    void delayedTaskHasTheSameBoundary() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            SessionTasks tasks = new SessionTasks(fixture.loop);
            tasks.of(fixture.server);

            tasks.execute(() ->
                    tasks.schedule(
                            1_000_000,
                            () -> {
                                throw new InternalError("gone");
                            }));

            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).endsWith("gone");
            assertThat(fixture.loop.failures()).isZero();
        }
    }

    @Test
    void otherFailureIsOursAndLeavesTheSessionAlone() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            SessionTasks tasks = new SessionTasks(fixture.loop);
            tasks.of(fixture.server);

            tasks.execute(() -> {
                throw new IllegalStateException("planted");
            });

            fixture.await(() -> fixture.loop.failures() == 1);
            assertThat(client.read(7, 0, 4)).isNotNegative();
            assertThat(fixture.server.hasSession()).isTrue();
        }
    }

    @Test
    void taskThatTheLoopRefusesIsNotRunInPlaceOfAnother() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain()) {
            SessionTasks tasks = new SessionTasks(fixture.loop);
            tasks.of(fixture.server);
            List<String> ran = new ArrayList<>();
            CountDownLatch isFull = new CountDownLatch(1);
            CountDownLatch isHeld = new CountDownLatch(1);
            fixture.loop.execute(() -> {
                isHeld.countDown();
                await(isFull);
            });
            // What was posted before has been run then, and takes no place.
            await(isHeld);
            int filled = 0;
            while (isTaken(fixture)) {
                filled++;
            }
            assertThat(filled).isGreaterThanOrEqualTo(EventLoop.TASK_LIMIT - 1);

            assertThatThrownBy(() -> tasks.execute(() -> ran.add("refused")))
                    .isInstanceOf(RejectedExecutionException.class);
            isFull.countDown();
            // Refused as long as the loop is as full as it was.
            fixture.await(() -> fixture.loop.executeAndWait(() -> {}, PATIENCE_NANOS));
            tasks.execute(() -> ran.add("taken"));

            assertThat(fixture.loop.executeAndWait(() -> {}, PATIENCE_NANOS)).isTrue();
            assertThat(ran).containsExactly("taken");
        }
    }

    private static boolean isTaken(ServerFixture<?> fixture) {
        try {
            fixture.loop.execute(() -> {});
            return true;
        } catch (RejectedExecutionException full) {
            return false;
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void tasksRunInTheOrderOfPosting() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain()) {
            SessionTasks tasks = new SessionTasks(fixture.loop);
            tasks.of(fixture.server);
            List<Integer> order = new ArrayList<>();
            CountDownLatch done = new CountDownLatch(1000);

            for (int i = 0; i < 1000; i++) {
                int number = i;
                tasks.execute(() -> {
                    order.add(number);
                    done.countDown();
                });
            }

            assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(order).hasSize(1000).isSorted();
        }
    }
}
