// The official Java client doing the same work as ours, told what by lines on its input: see against_java.rs.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

public class Reference {
    interface Work {
        void run() throws Exception;
    }

    static final ClientServiceProvider provider = ClientServiceProvider.loadService();

    public static void main(String[] args) throws Exception {
        ClientConfiguration access = ClientConfiguration.newBuilder().setEndpoints(args[0]).enableSsl(false).build();
        Producer producer = provider.newProducerBuilder().setClientConfiguration(access).setTopics("bench_tx")
            .setTransactionChecker(view -> TransactionResolution.COMMIT).build();
        SimpleConsumer consumer = provider.newSimpleConsumerBuilder().setClientConfiguration(access).setConsumerGroup("bench")
            .setAwaitDuration(Duration.ofSeconds(5))
            .setSubscriptionExpressions(Collections.singletonMap("bench_plain", FilterExpression.SUB_ALL)).build();
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            int ways = Integer.parseInt(words[1]), size = Integer.parseInt(words[2]), amount = Integer.parseInt(words[3]);
            if (words[0].equals("tx")) {
                transactions(producer, ways, size, amount);
            } else {
                consume(consumer, ways, amount);
            }
            System.out.println("rest");
        }
        System.exit(0);
    }

    static void transactions(Producer producer, int ways, int size, int seconds) throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        AtomicLong done = new AtomicLong();
        byte[] body = new byte[size];
        List<Thread> threads = threads(ways, () -> {
            while (!stop.get()) {
                Transaction transaction = producer.beginTransaction();
                Message message = provider.newMessageBuilder().setTopic("bench_tx").setTag("t").setKeys("k").setBody(body).build();
                producer.send(message, transaction);
                transaction.commit();
                done.incrementAndGet();
            }
        });
        long since = System.nanoTime();
        Thread.sleep(seconds * 1000L);
        stop.set(true);
        System.out.println(done.get() + " " + (System.nanoTime() - since) / 1e9);
        for (Thread thread : threads) {
            thread.join();
        }
    }

    static void consume(SimpleConsumer consumer, int ways, int amount) throws Exception {
        AtomicLong done = new AtomicLong();
        long since = System.nanoTime();
        List<Thread> threads = threads(ways, () -> {
            while (done.get() < amount) {
                List<MessageView> views = consumer.receive(32, Duration.ofSeconds(60));
                List<CompletableFuture<Void>> acks = new ArrayList<>();
                for (MessageView view : views) {
                    acks.add(consumer.ackAsync(view));
                }
                CompletableFuture.allOf(acks.toArray(new CompletableFuture[0])).join();
                long before = done.getAndAdd(views.size());
                if (before < amount && before + views.size() >= amount) {
                    System.out.println(amount + " " + (System.nanoTime() - since) / 1e9);
                }
            }
        });
        for (Thread thread : threads) {
            thread.join();
        }
    }

    static List<Thread> threads(int ways, Work work) {
        List<Thread> threads = new ArrayList<>();
        for (int way = 0; way < ways; way++) {
            Thread thread = new Thread(() -> {
                try {
                    work.run();
                } catch (Exception e) {
                    throw new RuntimeException(e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        return threads;
    }
}
